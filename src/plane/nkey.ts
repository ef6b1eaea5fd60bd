// A NATS user's seed as text (`SU…`): whether it is one. Form and checksum alone, so that a wrong file
// is told at the start; signing is the NATS library's.
//
//   base32( prefix, 2 bytes | secret, 32 bytes | CRC-16/XMODEM of both, little-endian, 2 bytes )
//   https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

export function isUserSeed(text: string): boolean {
  if (!/^SU[A-Z2-7]{56}$/.test(text)) return false;
  const bytes = base32(text);
  const [low, high] = bytes.subarray(-2);
  return (
    low !== undefined && high !== undefined && crc16(bytes.subarray(0, -2)) === low + high * 256
  );
}

function base32(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let bits = 0;
  let bitCount = 0;
  let at = 0;
  for (const char of text) {
    bits = ((bits << 5) | alphabet.indexOf(char)) & 0xfff; // at most 7 bits wait for 5 more
    bitCount += 5;
    if (bitCount < 8) continue;
    bitCount -= 8;
    bytes[at++] = (bits >> bitCount) & 0xff;
  }
  return bytes;
}

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}
