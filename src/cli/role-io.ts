// What a role is given besides its configuration: the process's log, who we are, and what it needs
// to start children.

import type { HubSettings } from '../hub/settings.ts';
import type { Log } from '../telemetry/log.ts';
import type { Role } from './flag.ts';

export type RoleIo = {
  readonly log: Log;
  readonly version: string;
  /** Hash of what the executable was built from; `source` when running from sources. */
  readonly build: string;
  /** The user's flags for a child of that role; `--role`, plane address and counts are the role's to add. */
  readonly childFlags: (role: Role) => readonly string[];
  /** Its flags that no other process may see, as environment. */
  readonly childSecrets: (role: Role) => Readonly<Record<string, string>>;
  /** Of the hub that models come from; Faults where its environment is wrong. */
  readonly hub: () => HubSettings;
  /** The environment for children, without the twins of our flags. */
  readonly childEnv: Readonly<Record<string, string>>;
};
