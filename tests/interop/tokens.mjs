// What an application would sign for its pages: tokens that say who somebody is, and names of streams they may read.

import { createHmac, sign } from "node:crypto";

export const kTokenSecret = "the secret of tokens, long enough for anybody";
export const kStreamsSecret = "streams-secret";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const hmac = (secret, text) => createHmac("sha256", secret).update(text);

// By HS256 and the like with a text, by RS256 and ES256 with a private key, by none with nothing.
export function token(claims, key = kTokenSecret, alg = "HS256") {
  const text = `${base64url({ alg, typ: "JWT" })}.${base64url(claims)}`;
  return `${text}.${signature(alg, key, text).toString("base64url")}`;
}

function signature(alg, key, text) {
  const digest = `sha${alg.slice(2)}`;
  if (alg === "none") return Buffer.alloc(0);
  if (alg.startsWith("HS")) return createHmac(digest, key).update(text).digest();
  return sign(digest, Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }); // RFC 7518 3.4
}

// Seconds from now, as exp has it.
export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

// For $pubsub.
export function signedName(name) {
  const text = Buffer.from(JSON.stringify(name)).toString("base64");
  return `${text}--${hmac(kStreamsSecret, text).digest("hex")}`;
}
