// The page's words in English and Chinese. English is also what stands in index.html, for a page without JavaScript.
// Elements carry data-i18n (their text) or data-i18n-placeholder; what changes while the page lives registers a render
// function and is drawn again when the language changes.

const kWords = {
  en: {
    skip: "Skip to the content",
    tagline: "Real-time broadcasting over WebSocket and Action Cable",
    state_connecting: "Connecting…",
    state_open: "Connected",
    state_waiting: "Offline, next try in",
    state_refused: "Refused by the server",
    state_closed: "Disconnected",
    retry: "Try now",
    seconds: "{n} s",
    figures_title: "Server figures",
    connections: "Connections",
    subscriptions: "Subscriptions",
    publish_rate: "Published per second",
    delivery_rate: "Delivered per second",
    publishes: "Published in total",
    deliveries: "Delivered in total",
    ticker_title: "Live ticker",
    tick_rate: "{n} ticks per second",
    not_offered: "not offered",
    cable_title: "Chat over Action Cable",
    raw_title: "Chat over a raw WebSocket",
    room: "Room",
    everybody: "everybody",
    join: "Join",
    in_room: "in room {room}",
    with_everybody: "with everybody",
    joining: "joining…",
    rejected: "the server refused this room",
    joined_room: "You are in room {room}.",
    joined_all: "You are with everybody.",
    message: "Message",
    write: "Write a message",
    send: "Send",
    not_sent: "Not connected: the message stays here until you send it again.",
    curl_title: "Post into a room from a shell",
    copy: "Copy",
    copied: "Copied",
    bench_title: "10,000 messages",
    bench_start: "Broadcast 10,000 messages",
    bench_lead:
      "Published over HTTP, received by this page over one WebSocket. Latency runs from the moment a message is handed to the browser for posting to the moment this page has it back.",
    delivered: "Delivered",
    order: "Order",
    lost: "Lost",
    rate: "Per second",
    kept: "kept",
    broken: "{n} out of place",
    bench_running: "Running…",
    bench_failed: "The server could not be reached.",
    bench_refused: "The server refused the messages with status {status}.",
    bench_done: "{delivered} delivered, {lost} lost, p50 {p50} ms, p99 {p99} ms.",
    slow_title: "A slow consumer",
    slow_switch: "Stop reading",
    slow_lead:
      "Two connections join one room, the switch makes the second stop reading while the room is flooded: the server keeps nobody waiting for it and closes it with code 1013.",
    slow_published: "Published",
    slow_prompt: "Prompt reader",
    slow_stalled: "Slow reader",
    mebibytes: "{n} MiB",
    slow_running: "The slow reader has stopped reading; the room is being flooded.",
    slow_waking: "The slow reader reads again and finds what is left.",
    slow_closed:
      "The slow reader was closed with code {code}{reason} after {got} of {all} messages; the prompt reader beside it received {prompt} of {all}.",
    slow_cut:
      "The slow reader was cut off without a close frame (code {code}) after {got} of {all} messages; the prompt reader beside it received {prompt} of {all}.",
    slow_kept:
      "The slow reader received {got} of {all} messages and was not closed: this browser, or the network, kept reading on its behalf.",
    slow_failed: "The server could not be reached.",
    footer: "Served from the binary itself: no other host is asked for anything.",
  },
  zh: {
    skip: "跳到正文",
    tagline: "基于 WebSocket 与 Action Cable 的实时广播",
    state_connecting: "正在连接…",
    state_open: "已连接",
    state_waiting: "已断开，重试倒计时",
    state_refused: "服务器拒绝连接",
    state_closed: "已断开",
    retry: "立即重试",
    seconds: "{n} 秒",
    figures_title: "服务器指标",
    connections: "连接数",
    subscriptions: "订阅数",
    publish_rate: "每秒发布",
    delivery_rate: "每秒投递",
    publishes: "累计发布",
    deliveries: "累计投递",
    ticker_title: "实时行情",
    tick_rate: "每秒 {n} 笔",
    not_offered: "未提供",
    cable_title: "Action Cable 聊天",
    raw_title: "原生 WebSocket 聊天",
    room: "房间",
    everybody: "所有人",
    join: "加入",
    in_room: "房间 {room}",
    with_everybody: "与所有人",
    joining: "正在加入…",
    rejected: "服务器拒绝了该房间",
    joined_room: "您已进入房间 {room}。",
    joined_all: "您正与所有人聊天。",
    message: "消息",
    write: "输入消息",
    send: "发送",
    not_sent: "尚未连接：消息保留在此，请稍后再次发送。",
    curl_title: "从命令行向房间发消息",
    copy: "复制",
    copied: "已复制",
    bench_title: "一万条消息",
    bench_start: "广播 10,000 条消息",
    bench_lead: "经 HTTP 发布，由本页通过一条 WebSocket 接收。延迟从消息交给浏览器提交时算起，到本页收回该消息为止。",
    delivered: "已投递",
    order: "顺序",
    lost: "丢失",
    rate: "每秒",
    kept: "保持",
    broken: "{n} 条乱序",
    bench_running: "正在运行…",
    bench_failed: "无法连接服务器。",
    bench_refused: "服务器拒绝了消息，状态码 {status}。",
    bench_done: "已投递 {delivered} 条，丢失 {lost} 条，p50 {p50} 毫秒，p99 {p99} 毫秒。",
    slow_title: "慢消费者",
    slow_switch: "停止读取",
    slow_lead: "两条连接进入同一房间，开关让第二条停止读取，同时向房间灌入大量消息：服务器不让任何人等它，并以 1013 关闭它。",
    slow_published: "已发布",
    slow_prompt: "及时读取者",
    slow_stalled: "慢读取者",
    mebibytes: "{n} MiB",
    slow_running: "慢读取者已停止读取，正在向房间灌入消息。",
    slow_waking: "慢读取者恢复读取，查看还剩下什么。",
    slow_closed: "慢读取者在收到 {got}/{all} 条消息后被以代码 {code}{reason} 关闭；旁边的及时读取者收到 {prompt}/{all} 条。",
    slow_cut: "慢读取者在收到 {got}/{all} 条消息后被直接断开，没有关闭帧（代码 {code}）；旁边的及时读取者收到 {prompt}/{all} 条。",
    slow_kept: "慢读取者收到 {got}/{all} 条消息且未被关闭：浏览器或网络替它读取了数据。",
    slow_failed: "无法连接服务器。",
    footer: "页面由程序自身提供，不访问任何其他主机。",
  },
};

const kStored = "ringcast.language";
const renders = [];
let language = "en";

// May be denied to the page; then the browser's language decides each time.
function stored(value) {
  try {
    if (value !== undefined) localStorage.setItem(kStored, value);
    return localStorage.getItem(kStored);
  } catch {
    return null;
  }
}

export function t(key, values = {}) {
  return kWords[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function clock(date) {
  return date.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

// Draws now, and again whenever the language changes.
export function rendered(render) {
  renders.push(render);
  render();
}

function apply() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = t(element.dataset.i18n);
  for (const element of document.querySelectorAll("[data-i18n-placeholder]")) {
    element.placeholder = t(element.dataset.i18nPlaceholder);
  }
  for (const render of renders) render();
}

export function startLanguage(button) {
  const wanted = stored() ?? navigator.language;
  language = /^zh\b/i.test(wanted) ? "zh" : "en";
  rendered(() => {
    // Named in the language it leads to, for those who cannot read the present one.
    button.textContent = language === "en" ? "中文" : "English";
    button.lang = language === "en" ? "zh" : "en";
  });
  button.addEventListener("click", () => {
    language = language === "en" ? "zh" : "en";
    stored(language);
    apply();
  });
  apply();
}
