// What an application would sign for its pages: tokens that say who somebody is, and names of streams they may read.

import { createHmac } from "node:crypto";

export const kTokenSecret = "the secret of tokens, long enough for anybody";
export const kStreamsSecret = "streams-secret";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const hmac = (secret, text) => createHmac("sha256", secret).update(text);

export function token(claims, secret = kTokenSecret) {
  const text = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${text}.${hmac(secret, text).digest("base64url")}`;
}

// Seconds from now, as exp has it.
export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

// For $pubsub.
export function signedName(name) {
  const text = Buffer.from(JSON.stringify(name)).toString("base64");
  return `${text}--${hmac(kStreamsSecret, text).digest("hex")}`;
}
