// Whose a request is, as far as the network tells: noted by the listener, read where shares are counted.

const addresses = new WeakMap<Request, string>();

export function noteAddress(request: Request, address: string): void {
  addresses.set(request, shareOf(address));
}

/** Empty where nobody has noted one. */
export function addressOf(request: Request): string {
  return addresses.get(request) ?? '';
}

/** An IPv6 client has a whole /64 to choose addresses from: that counts as one. */
export function shareOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address.replace(/^.*:/, '');
  const [head = '', tail] = address.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0');
  return [...front, ...zeros, ...back].slice(0, 4).join(':');
}
