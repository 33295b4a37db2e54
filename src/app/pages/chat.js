// The two chats: the same messages, once over Action Cable and once over a raw WebSocket. What others wrote reaches the
// document through textContent alone.

import { clock, rendered, t } from "/i18n.js";
import { RawSocket } from "/raw.js";

const kEntriesMax = 200;
const kHues = 6;

export function startCableChat(consumer, parts) {
  const view = new ChatView(parts);
  let subscription = null;
  const join = (room) => {
    subscription?.unsubscribe();
    view.enter(room);
    const params = room === "" ? { channel: "ChatChannel" } : { channel: "ChatChannel", room_id: room };
    subscription = consumer.subscribe(params, {
      connected: () => view.joined(),
      disconnected: () => view.left(),
      rejected: () => view.refused(),
      received: (data) => view.add(data ?? {}),
    });
  };
  view.onJoin = join;
  view.onSay = (message) => subscription.connected && subscription.perform("receive", { message });
  join("");
}

// onRoom is told each room that is entered, "" for the one with everybody. Returns the socket's retryNow.
export function startRawChat(parts, firstRoom, onRoom) {
  const view = new ChatView(parts);
  let socket = null;
  const join = (room) => {
    socket?.end();
    view.enter(room);
    onRoom(room);
    socket = new RawSocket(room === "" ? "/websocket" : `/websocket/${encodeURIComponent(room)}`, {
      onOpen: () => view.joined(),
      onClose: () => view.left(),
      onMessage: (data) => view.add(data),
    });
  };
  view.onJoin = join;
  view.onSay = (message) => socket.send({ message });
  join(firstRoom);
  return () => socket.retryNow();
}

class ChatView {
  constructor({ log, form, input, hint, roomForm, roomInput, where }) {
    Object.assign(this, { log, input, hint, roomInput, where });
    this.room_ = "";
    this.state_ = "joining";
    this.unsent_ = false;
    rendered(() => this.drawState_());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.say_();
    });
    roomForm.addEventListener("submit", (event) => {
      event.preventDefault();
      const room = roomInput.value.trim();
      if (room !== this.room_) this.onJoin(room);
      input.focus();
    });
  }

  enter(room) {
    this.room_ = room;
    this.roomInput.value = room;
    this.log.replaceChildren();
    this.become_("joining");
  }

  joined() {
    if (this.log.childElementCount === 0) {
      this.note_(this.room_ === "" ? t("joined_all") : t("joined_room", { room: this.room_ }));
    }
    this.unsent_ = false;
    this.become_("joined");
  }

  left() {
    this.become_("joining");
  }

  refused() {
    this.become_("rejected");
  }

  add({ message, sender, error }) {
    const entry = document.createElement("div");
    entry.className = error === undefined ? "entry" : "entry error";
    const who = asText(sender ?? (error === undefined ? "?" : "Server"));
    const badge = child(entry, "span", "badge", initials(who));
    badge.dataset.hue = hue(who);
    badge.setAttribute("aria-hidden", "true");
    const line = child(entry, "div", "who", who);
    child(line, "time", "", clock(new Date()));
    child(entry, "div", "text", asText(error ?? message));
    this.append_(entry);
  }

  note_(text) {
    const entry = document.createElement("div");
    entry.className = "entry note";
    entry.textContent = text;
    this.append_(entry);
  }

  append_(entry) {
    // Whoever has scrolled back is reading: the log then stays where it is.
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(entry);
    while (this.log.childElementCount > kEntriesMax) this.log.firstChild.remove();
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  say_() {
    const message = this.input.value.trim();
    if (message === "") return;
    this.unsent_ = !this.onSay(message);
    if (!this.unsent_) this.input.value = "";
    this.drawState_();
  }

  become_(state) {
    this.state_ = state;
    this.drawState_();
  }

  drawState_() {
    const place = this.room_ === "" ? t("with_everybody") : t("in_room", { room: this.room_ });
    this.where.textContent = this.state_ === "joined" ? place : t(this.state_);
    this.where.dataset.on = this.state_ === "joined";
    this.hint.textContent = this.unsent_ ? t("not_sent") : "";
  }
}

function child(parent, tag, className, text) {
  const element = parent.appendChild(document.createElement(tag));
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

// A room carries any JSON.
function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

// "Client 12" -> "12", "Server" -> "S": what tells two senders apart in two or three characters.
function initials(name) {
  const digits = name.match(/\d+$/);
  return digits ? digits[0].slice(-3) : [...name][0]?.toUpperCase() ?? "?";
}

function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum % kHues;
}
