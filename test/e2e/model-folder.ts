// Copies of the built-in model's folder with something changed or broken.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const builtIn = resolve(import.meta.dir, '../../src/demo/model');

export class ModelFolder {
  readonly path: string;

  constructor(parent: string) {
    this.path = mkdtempSync(join(parent, 'model-'));
    cpSync(builtIn, this.path, { recursive: true });
  }

  remove(file: string): this {
    rmSync(join(this.path, file));
    return this;
  }

  write(file: string, content: string | Uint8Array): this {
    writeFileSync(join(this.path, file), content);
    return this;
  }

  /** Puts other values into config.json. */
  configure(values: Readonly<Record<string, unknown>>): this {
    const config: object = JSON.parse(readFileSync(join(this.path, 'config.json'), 'utf8'));
    return this.write('config.json', JSON.stringify({ ...config, ...values }));
  }

  /** Gives the bytes of the weights to `change` and writes what it returns. */
  weights(change: (bytes: Uint8Array) => Uint8Array): this {
    const file = 'model.safetensors';
    return this.write(file, change(new Uint8Array(readFileSync(join(this.path, file)))));
  }
}
