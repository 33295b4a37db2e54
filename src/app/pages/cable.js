// An Action Cable consumer (protocol actioncable-v1-json): one WebSocket, any number of subscriptions, which survive
// the socket. Owned by the page; everything happens on the page's one thread.
//
//   const consumer = new Consumer("ws://127.0.0.1:8080/cable");
//   const chat = consumer.subscribe({ channel: "ChatChannel" }, { received: (data) => console.log(data) });
//   chat.perform("receive", { message: "hello" });

import { Backoff } from "/backoff.js";

const kProtocols = ["actioncable-v1-json", "actioncable-unsupported"];

// The server pings every 3 s, so two missed pings and the connection is taken for dead. Nothing else would tell: a
// socket whose peer has lost power stays "open" until TCP gives up, which takes many minutes.
const kStaleMs = 6000;
const kStaleCheckMs = 500;

// consumer.state is one of
//   connecting  a socket is being opened, or is open and not yet welcomed
//   open        welcomed; subscriptions have been asked for
//   waiting     the next attempt comes at consumer.retryAt (performance.now() time)
//   refused     the server said not to come back
//   closed      disconnect() was called
export class Consumer {
  constructor(url, { onState = () => {}, backoff = new Backoff() } = {}) {
    this.url = url;
    this.state = "closed";
    this.retryAt = 0;
    this.reason = null; // why the server ended the last connection, if it said so
    this.onState = onState;
    this.backoff_ = backoff;
    this.socket_ = null;
    this.retryTimer_ = 0;
    this.staleTimer_ = 0;
    this.heardAt_ = 0;
    this.subscriptions_ = new Map(); // identifier -> Subscription[]: two may share one identifier
    // A page in the background has its timers slowed down, so it looks at once when it comes back.
    document.addEventListener("visibilitychange", () => this.checkStale_());
    window.addEventListener("online", () => this.retryNow());
  }

  connect() {
    if (this.socket_) return;
    clearTimeout(this.retryTimer_);
    this.heardAt_ = performance.now();
    const socket = new WebSocket(this.url, kProtocols);
    this.socket_ = socket;
    // A socket that was given up may still deliver events; only the present one is listened to.
    const current = (handler) => (event) => this.socket_ === socket && handler(event);
    socket.addEventListener("message", current((event) => this.receive_(event.data)));
    socket.addEventListener("close", current(() => this.lost_()));
    socket.addEventListener("open", current(() => {
      // Any other answer means that the server speaks another dialect, and so will it next time.
      if (socket.protocol !== kProtocols[0]) this.end_("refused");
    }));
    clearInterval(this.staleTimer_);
    this.staleTimer_ = setInterval(() => this.checkStale_(), kStaleCheckMs);
    this.become_("connecting");
  }

  disconnect() {
    this.end_("closed");
  }

  // For a person who does not want to wait, and for a network that has just come back.
  retryNow() {
    if (this.state === "waiting" || this.state === "refused") this.connect();
  }

  subscribe(params, handlers) {
    const subscription = new Subscription(this, JSON.stringify(params), handlers);
    const same = this.subscriptions_.get(subscription.identifier) ?? [];
    this.subscriptions_.set(subscription.identifier, [...same, subscription]);
    this.command_("subscribe", subscription.identifier);
    return subscription;
  }

  // Called by Subscription. True if the command went out; nothing is queued for a later connection.
  command_(command, identifier, fields = {}) {
    if (this.state !== "open") return false;
    this.socket_.send(JSON.stringify({ command, identifier, ...fields }));
    return true;
  }

  remove_(subscription) {
    const same = this.subscriptions_.get(subscription.identifier) ?? [];
    const left = same.filter((one) => one !== subscription);
    if (left.length === same.length) return;
    if (left.length > 0) {
      this.subscriptions_.set(subscription.identifier, left);
    } else {
      // The server knows the identifier, not the object: only the last one may end it.
      this.subscriptions_.delete(subscription.identifier);
      this.command_("unsubscribe", subscription.identifier);
    }
  }

  receive_(text) {
    this.heardAt_ = performance.now();
    const { type, identifier, message, reason, reconnect } = JSON.parse(text);
    const named = this.subscriptions_.get(identifier) ?? [];
    switch (type) {
      case "welcome":
        this.reason = null;
        this.become_("open");
        // The server answers every subscribe of a connection, in order, so asking once is enough.
        for (const known of this.subscriptions_.keys()) this.command_("subscribe", known);
        break;
      case "ping":
        // Not at the welcome: a server that welcomes and drops everybody must still be spared.
        this.backoff_.reset();
        break;
      case "confirm_subscription":
        for (const one of named) one.confirm_();
        break;
      case "reject_subscription":
        this.subscriptions_.delete(identifier);
        for (const one of named) one.handlers.rejected?.();
        break;
      case "disconnect":
        this.reason = reason ?? null;
        if (reconnect === false) this.end_("refused");
        else this.lost_();
        break;
      default:
        for (const one of named) one.handlers.received?.(message);
    }
  }

  checkStale_() {
    if (this.socket_ && performance.now() - this.heardAt_ > kStaleMs) this.lost_();
  }

  // The connection is gone or given up: say so, and come back after a while.
  lost_() {
    this.drop_();
    const delay = this.backoff_.nextDelayMs();
    this.retryAt = performance.now() + delay;
    this.retryTimer_ = setTimeout(() => this.connect(), delay);
    this.become_("waiting");
  }

  end_(state) {
    clearTimeout(this.retryTimer_);
    this.drop_();
    this.become_(state);
  }

  // Never waits for the close event: on a dead network it comes only after the browser's own, much longer, timeout.
  drop_() {
    clearInterval(this.staleTimer_);
    const socket = this.socket_;
    this.socket_ = null;
    socket?.close();
    for (const same of this.subscriptions_.values()) for (const one of same) one.lose_();
  }

  become_(state) {
    this.state = state;
    this.onState(this);
  }
}

// Handlers, each optional: connected({reconnected}), disconnected(), received(data), rejected().
class Subscription {
  constructor(consumer, identifier, handlers) {
    this.consumer_ = consumer;
    this.identifier = identifier;
    this.handlers = handlers;
    this.connected = false;
    this.before_ = false; // was connected once
  }

  perform(action, data = {}) {
    return this.consumer_.command_("message", this.identifier, { data: JSON.stringify({ ...data, action }) });
  }

  unsubscribe() {
    this.consumer_.remove_(this);
  }

  confirm_() {
    if (this.connected) return; // the confirm of another subscription with the same identifier
    this.connected = true;
    this.handlers.connected?.({ reconnected: this.before_ });
    this.before_ = true;
  }

  lose_() {
    if (!this.connected) return;
    this.connected = false;
    this.handlers.disconnected?.();
  }
}
