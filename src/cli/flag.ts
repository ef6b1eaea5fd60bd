// What a flag is: its kinds, and short constructors so that the table in flags.ts reads as a table.
// The type of a flag's value follows from its row: kind, choices, and whether a default exists.

export const roles = ['api', 'context', 'generate', 'baseline', 'all'] as const;
export type Role = (typeof roles)[number];

type Row = {
  readonly roles: readonly Role[];
  readonly help: string;
  /** Shown as the default where `default` is null: what happens without the flag. */
  readonly unset?: string;
};
type Range = { readonly min: number; readonly max: number };

export type StringFlag<D> = Row & {
  readonly kind: 'string';
  readonly default: D;
  readonly example: string;
};
export type ListFlag = Row & {
  readonly kind: 'list';
  readonly default: readonly string[];
  readonly example: string;
  /** Never shown: not in errors, not in --dump-config, not among the arguments of children. */
  readonly isSecret?: boolean;
};
export type BooleanFlag<D> = Row & { readonly kind: 'boolean'; readonly default: D };
export type NumberFlag<D> = Row &
  Range & {
    /** `duration`: seconds. */
    readonly kind: 'integer' | 'share' | 'bytes' | 'duration';
    readonly default: D;
    readonly example: string;
  };
export type ChoiceFlag<C extends string, D> = Row & {
  readonly kind: 'choice';
  readonly default: D;
  /** Each choice with the other names it answers to. */
  readonly choices: Readonly<Record<C, readonly string[]>>;
};
export type Flag =
  | StringFlag<string | null>
  | ListFlag
  | BooleanFlag<boolean | null>
  | NumberFlag<number | null>
  | ChoiceFlag<string, string | null>;

type OrNull<D> = null extends D ? null : never;
export type ValueOf<F> =
  F extends ChoiceFlag<infer C, infer D>
    ? C | OrNull<D>
    : F extends StringFlag<infer D>
      ? string | OrNull<D>
      : F extends BooleanFlag<infer D>
        ? boolean | OrNull<D>
        : F extends NumberFlag<infer D>
          ? number | OrNull<D>
          : F extends ListFlag
            ? readonly string[]
            : never;
export type FlagValue = string | number | boolean | readonly string[] | null;

type Extra = {
  readonly unset?: string;
  readonly example?: string;
  readonly isSecret?: boolean;
} & Partial<Range>;

export function text<const D extends string | null>(
  forRoles: readonly Role[],
  value: D,
  help: string,
  extra: Extra = {},
): StringFlag<D> {
  return {
    kind: 'string',
    roles: forRoles,
    default: value,
    help,
    example: extra.example ?? value ?? 'TEXT',
    ...(extra.unset === undefined ? {} : { unset: extra.unset }),
  };
}

export function list(
  forRoles: readonly Role[],
  value: readonly string[],
  help: string,
  extra: Extra = {},
): ListFlag {
  const { example = value.join(','), unset, isSecret } = extra;
  return {
    kind: 'list',
    roles: forRoles,
    default: value,
    help,
    example,
    ...(unset === undefined ? {} : { unset }),
    ...(isSecret === undefined ? {} : { isSecret }),
  };
}

export function boolean<const D extends boolean | null>(
  forRoles: readonly Role[],
  value: D,
  help: string,
  extra: Extra = {},
): BooleanFlag<D> {
  return {
    kind: 'boolean',
    roles: forRoles,
    default: value,
    help,
    ...(extra.unset === undefined ? {} : { unset: extra.unset }),
  };
}

export function number<const D extends number | null>(
  kind: NumberFlag<D>['kind'],
  forRoles: readonly Role[],
  value: D,
  help: string,
  extra: Extra = {},
): NumberFlag<D> {
  return {
    kind,
    roles: forRoles,
    default: value,
    help,
    min: extra.min ?? 1,
    max: extra.max ?? 1_000_000_000,
    example: extra.example ?? String(value ?? extra.min ?? 1),
    ...(extra.unset === undefined ? {} : { unset: extra.unset }),
  };
}

export function choice<const C extends string, const D extends NoInfer<C> | null>(
  forRoles: readonly Role[],
  value: D,
  choices: Readonly<Record<C, readonly string[]>>,
  help: string,
): ChoiceFlag<C, D> {
  return { kind: 'choice', roles: forRoles, default: value, choices, help };
}
