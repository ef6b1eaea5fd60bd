// Whether an answer can be held to the form that a request asks for, asked beside everything else: what
// cannot be done is a 400 that names the field before any worker hears of it.

import { compileGrammar } from '../grammar/compile.ts';
import type { GrammarCheck } from '../grammar/guide.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { Ask } from './ask.ts';
import { clip } from './fault.ts';

/** Where nobody does it beside. */
export const inPlaceCheck: GrammarCheck = {
  check: async (spec) => {
    compileGrammar(spec);
  },
};

type Formed = Pick<Ask, 'formField'> & { readonly sampling: Pick<Ask['sampling'], 'grammar'> };

export async function checkForm(
  grammars: GrammarCheck,
  { formField, sampling: { grammar } }: Formed,
): Promise<void> {
  if (grammar === null) return;
  try {
    await grammars.check(grammar);
  } catch (thrown) {
    const fault = toFault(thrown);
    if (fault.code !== 'invalid_request') throw fault;
    const what = formField === 'tools' ? 'parameters cannot be demanded: ' : '';
    const message = `${formField ?? 'grammar'}: ${what}${clip(fault.message, 500)}`;
    throw new Fault(fault.code, message, formField === null ? {} : { param: formField });
  }
}
