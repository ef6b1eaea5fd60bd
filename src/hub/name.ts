// Names that become paths: repositories, revisions, files of a repository. Whatever is not plainly one of
// them is refused here, so nobody behind this has to think of `..` or of a path that begins with a slash.

export type Repo = {
  /** `ORG/REPO`. */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
};

/** Letters, digits and `-_.`, beginning and ending with a letter, a digit or `_`. */
const part = /^\w(?:[\w.-]{0,94}\w)?$/;
const revisionForm = /^\w[\w./+-]{0,199}$/;
const commitForm = /^[0-9a-f]{40}$/;
const fileForm = /^\w[\w.-]{0,199}$/;

/** `ORG/REPO` or `ORG/REPO@REVISION`; null where the text is neither. */
export function parseRepo(text: string): Repo | null {
  const at = text.indexOf('@');
  const id = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? 'main' : text.slice(at + 1);
  const parts = id.split('/');
  const isId = parts.length === 2 && parts.every((word) => part.test(word));
  // `--` separates the two in the cache's folder names.
  if (!isId || /--|\.\.|\.git$/.test(id)) return null;
  return isRevision(revision) ? { id, revision } : null;
}

function isRevision(text: string): boolean {
  return revisionForm.test(text) && !/\.\.|\/\/|\/\.|[/.]$/.test(text);
}

export function isCommit(text: string): boolean {
  return commitForm.test(text);
}

/** A file beside config.json: no folder, nothing hidden. */
export function isFileName(text: string): boolean {
  return fileForm.test(text);
}

export function repoText({ id, revision }: Repo): string {
  return revision === 'main' ? id : `${id}@${revision}`;
}
