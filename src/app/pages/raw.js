// A raw WebSocket that comes back by itself: JSON objects in, JSON objects out. No heartbeat of its own: the browser
// answers the server's pings unseen, so only a close tells that the connection is gone.

import { Backoff } from "/backoff.js";

const kLastedMs = 3000;

export const socketUrl = (path) => `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${path}`;

export class RawSocket {
  constructor(path, { onOpen = () => {}, onMessage = () => {}, onClose = () => {} } = {}) {
    this.path = path;
    this.on_ = { onOpen, onMessage, onClose };
    this.backoff_ = new Backoff();
    this.retryTimer_ = 0;
    this.ended_ = false;
    this.openedAt_ = 0;
    this.open_();
  }

  get connected() {
    return this.socket_?.readyState === WebSocket.OPEN;
  }

  // True if the message went out.
  send(object) {
    if (!this.connected) return false;
    this.socket_.send(JSON.stringify(object));
    return true;
  }

  retryNow() {
    if (this.ended_ || this.socket_) return;
    clearTimeout(this.retryTimer_);
    this.open_();
  }

  end() {
    this.ended_ = true;
    clearTimeout(this.retryTimer_);
    this.socket_?.close(1000);
  }

  open_() {
    const socket = new WebSocket(socketUrl(this.path));
    this.socket_ = socket;
    socket.addEventListener("open", () => {
      this.openedAt_ = performance.now();
      if (!this.ended_) this.on_.onOpen();
    });
    socket.addEventListener("message", (event) => {
      if (!this.ended_) this.on_.onMessage(decode(event.data));
    });
    socket.addEventListener("close", (event) => {
      this.socket_ = null;
      if (this.ended_) return;
      // Only a connection that lasted makes up for the failures before it.
      if (this.openedAt_ && performance.now() - this.openedAt_ > kLastedMs) this.backoff_.reset();
      this.openedAt_ = 0;
      this.on_.onClose(event.code);
      this.retryTimer_ = setTimeout(() => this.open_(), this.backoff_.nextDelayMs());
    });
  }
}

// A room carries whatever was published to it, so text that is not an object is shown as it is.
function decode(data) {
  if (typeof data !== "string") return { message: "(binary)" };
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : { message: data };
  } catch {
    return { message: data };
  }
}
