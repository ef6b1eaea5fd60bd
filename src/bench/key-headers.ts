// The API key with which our own tools ask a gateway: the first one of TDIST_API_KEY, which is where a
// gateway has it from, too. Only the environment: arguments are everybody's to read.

export function keyHeaders(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const key = env['TDIST_API_KEY']?.split(',')[0]?.trim() ?? '';
  return key === '' ? {} : { authorization: `Bearer ${key}` };
}
