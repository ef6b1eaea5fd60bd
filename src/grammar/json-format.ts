// `format` of JSON schema: what of each is written by us. A part of what the standards allow, never more.

const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const date =
  '\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))';
const time = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-](0\\d|1[0-3]):[0-5]\\d)';
const label = '[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?';
const host = `${label}(\\.${label}){0,3}`;

/** Regular expressions, to match as a whole. */
export const formats: ReadonlyMap<string, string> = new Map([
  ['date', date],
  ['time', time],
  ['date-time', `${date}T${time}`],
  ['uuid', '[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'],
  ['email', `[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,32}){0,3}@${label}(\\.${label}){1,3}`],
  ['hostname', host],
  ['ipv4', `(${octet}\\.){3}${octet}`],
  ['uri', `https?://${host}(:\\d{1,4})?(/[A-Za-z0-9._~-]{1,60}){0,16}`],
]);
