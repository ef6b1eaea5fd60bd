// ONNX Runtime's C API through bun:ffi: only what a session with caller-owned tensors needs. The
// functions live in a table whose order is fixed for ever and only grows (onnxruntime_c_api.h,
// struct OrtApi); the version string is checked before the table is trusted.
// Every call that can fail returns a status pointer, 0 = fine; `check` turns it into a Fault.

import { CString, dlopen, linkSymbols, type Pointer, read } from 'bun:ffi';
import { Fault } from '../std/fault.ts';
import { mapAnonymousMemory, pointer, viewBytes } from '../std/memory.ts';
import { ortVersion } from './ort-library.ts';

export const elementType = { float32: 1, int32: 6, int64: 7, float16: 10 } as const;
export type ElementType = (typeof elementType)[keyof typeof elementType];

/** What computes, by ONNX Runtime's name, with its settings. */
export type Provider = {
  readonly name: string;
  readonly options?: Readonly<Record<string, string>>;
};

/** Handles of a kind of memory and of who gives it out. */
export type DeviceMemory = { readonly info: number; readonly allocator: number };

const apiVersion = 30;
/** Position in struct OrtApi, argument types, result. */
const table = {
  getErrorMessage: [2, ['ptr'], 'ptr'],
  createEnv: [3, ['i32', 'ptr', 'ptr'], 'ptr'],
  createSession: [7, ['ptr', 'ptr', 'ptr', 'ptr'], 'ptr'],
  createSessionFromArray: [8, ['ptr', 'ptr', 'usize', 'ptr', 'ptr'], 'ptr'],
  run: [9, ['ptr', 'ptr', 'ptr', 'ptr', 'usize', 'ptr', 'usize', 'ptr'], 'ptr'],
  createSessionOptions: [10, ['ptr'], 'ptr'],
  disableMemPattern: [17, ['ptr'], 'ptr'],
  setIntraOpNumThreads: [24, ['ptr', 'i32'], 'ptr'],
  createDeviceTensor: [48, ['ptr', 'ptr', 'usize', 'i32', 'ptr'], 'ptr'],
  createTensor: [49, ['ptr', 'ptr', 'usize', 'ptr', 'usize', 'i32', 'ptr'], 'ptr'],
  getTensorData: [51, ['ptr', 'ptr'], 'ptr'],
  createMemoryInfo: [68, ['ptr', 'i32', 'i32', 'i32', 'ptr'], 'ptr'],
  createCpuMemoryInfo: [69, ['i32', 'i32', 'ptr'], 'ptr'],
  releaseStatus: [93, ['ptr'], 'void'],
  releaseSession: [95, ['ptr'], 'void'],
  releaseValue: [96, ['ptr'], 'void'],
  releaseSessionOptions: [100, ['ptr'], 'void'],
  addSessionConfigEntry: [130, ['ptr', 'ptr', 'ptr'], 'ptr'],
  createAllocator: [131, ['ptr', 'ptr', 'ptr'], 'ptr'],
  appendCuda: [204, ['ptr', 'ptr'], 'ptr'],
  createCudaOptions: [205, ['ptr'], 'ptr'],
  updateCudaOptions: [206, ['ptr', 'ptr', 'ptr', 'usize'], 'ptr'],
  releaseCudaOptions: [208, ['ptr'], 'void'],
  appendProvider: [216, ['ptr', 'ptr', 'ptr', 'ptr', 'usize'], 'ptr'],
} as const;

type Call = (...args: readonly (number | Pointer | null)[]) => number;

/** One loaded library with its environment. Load it once in a process. */
export class Ort {
  readonly #call: Readonly<Record<keyof typeof table, Call>>;
  readonly #env: number;
  readonly #memoryInfo: number;
  /** Bump-allocated native scratch for names, shapes and out-parameters; never freed. */
  readonly #scratch = new Scratch();

  constructor(libraryPath: string) {
    const library = dlopen(libraryPath, { OrtGetApiBase: { args: [], returns: 'ptr' } });
    const base = library.symbols.OrtGetApiBase();
    if (base === null) throw new Fault('engine', `${libraryPath} has no ONNX Runtime API`);
    const { getApi, getVersion } = linkSymbols({
      getApi: { args: ['u32'], returns: 'ptr', ptr: pointer(read.ptr(base, 0)) },
      getVersion: { args: [], returns: 'ptr', ptr: pointer(read.ptr(base, 8)) },
    }).symbols;
    const versionAddress = getVersion();
    const version = versionAddress === null ? 'none' : new CString(versionAddress).toString();
    const api = getApi(apiVersion);
    if (version !== ortVersion || typeof api !== 'number') {
      throw new Fault(
        'engine',
        `loading ONNX Runtime from ${libraryPath}: found version ${version}, wanted ${ortVersion}`,
      );
    }
    this.#call = linkTable(api);
    this.#env = this.#create((out) => this.#call.createEnv(4, this.#scratch.text('tdist'), out));
    this.#memoryInfo = this.#create((out) => this.#call.createCpuMemoryInfo(0, 0, out));
  }

  /**
   * A session over a model: the path of its file, or a small one's bytes. `threads` = threads of one
   * operator; `provider`: ONNX Runtime's name of what computes in place of the CPU.
   */
  createSession(
    model: string | Uint8Array,
    options: { threads: number; provider?: Provider },
  ): number {
    const call = this.#call;
    const settings = this.#create((out) => call.createSessionOptions(out));
    this.check(call.setIntraOpNumThreads(pointer(settings), options.threads), 'setting threads');
    // Shapes change at every step: a cached memory plan for each would only grow.
    this.check(call.disableMemPattern(pointer(settings)), 'disabling memory patterns');
    for (const [key, value] of [
      // Cores are shared with the gateway and with other workers; spinning starves them.
      ['session.intra_op.allow_spinning', '0'],
      ['session.inter_op.allow_spinning', '0'],
    ] as const) {
      const status = call.addSessionConfigEntry(
        pointer(settings),
        this.#scratch.text(key),
        this.#scratch.text(value),
      );
      this.check(status, `setting ${key}`);
    }
    try {
      if (options.provider !== undefined) this.#append(settings, options.provider);
      return this.#openSession(model, settings);
    } finally {
      call.releaseSessionOptions(pointer(settings));
    }
  }

  #append(settings: number, { name, options = {} }: Provider): void {
    const entries = Object.entries(options);
    const texts = (values: readonly string[]): Pointer => {
      const list = this.#scratch.take(Math.max(1, values.length) * 8);
      const view = new BigUint64Array(viewBytes(list, Math.max(1, values.length) * 8).buffer);
      view.set(values.map((value) => BigInt(this.#scratch.text(value))));
      return pointer(list);
    };
    const keys = texts(entries.map(([key]) => key));
    const values = texts(entries.map(([, value]) => value));
    const doing = `starting ${name}`;
    const call = this.#call;
    if (name !== 'CUDA') {
      const named = this.#scratch.text(name);
      const status = call.appendProvider(pointer(settings), named, keys, values, entries.length);
      return this.check(status, doing);
    }
    // The one provider that has calls of its own.
    const cuda = this.#create((out) => call.createCudaOptions(out), doing);
    try {
      this.check(call.updateCudaOptions(pointer(cuda), keys, values, entries.length), doing);
      this.check(call.appendCuda(pointer(settings), pointer(cuda)), doing);
    } finally {
      call.releaseCudaOptions(pointer(cuda));
    }
  }

  #openSession(model: string | Uint8Array, settings: number): number {
    const call = this.#call;
    if (typeof model === 'string') {
      const path = this.#scratch.text(model);
      return this.#create(
        (out) => call.createSession(pointer(this.#env), path, pointer(settings), out),
        `creating a session from ${model}`,
      );
    }
    const bytes = this.#scratch.take(model.byteLength);
    viewBytes(bytes, model.byteLength).set(model);
    return this.#create(
      (out) =>
        call.createSessionFromArray(
          pointer(this.#env),
          pointer(bytes),
          model.byteLength,
          pointer(settings),
          out,
        ),
      'creating a session',
    );
  }

  releaseSession(session: number): void {
    this.#call.releaseSession(pointer(session));
  }

  /** Memory of the device that `session` computes on, by ONNX Runtime's name of its kind. */
  deviceMemory(session: number, kind: string): DeviceMemory {
    const call = this.#call;
    const name = this.#scratch.text(kind);
    const info = this.#create((out) => call.createMemoryInfo(name, 0, 0, 0, out));
    const allocator = this.#create(
      (out) => call.createAllocator(pointer(session), pointer(info), out),
      `asking for memory of ${kind}`,
    );
    return { info, allocator };
  }

  /** A tensor in the device's memory, which it owns. `data` names that memory for tensors over it. */
  createDeviceTensor(
    memory: DeviceMemory,
    shape: readonly number[],
    type: ElementType,
  ): { tensor: number; data: number } {
    const call = this.#call;
    const tensor = this.#create(
      (out) =>
        call.createDeviceTensor(
          pointer(memory.allocator),
          this.#scratch.shape(shape),
          shape.length,
          type,
          out,
        ),
      `making a tensor of shape [${shape.join(', ')}] on the device`,
    );
    return { tensor, data: this.#create((out) => call.getTensorData(pointer(tensor), out)) };
  }

  releaseTensor(tensor: number): void {
    this.#call.releaseValue(pointer(tensor));
  }

  /**
   * A tensor over memory that stays the caller's: `bytes` bytes at `address` with `shape`, the host's
   * memory unless said.
   */
  createTensor(
    address: number,
    bytes: number,
    shape: readonly number[],
    type: ElementType,
    memory?: DeviceMemory,
  ): number {
    const shapeAddress = this.#scratch.shape(shape);
    return this.#create(
      (out) =>
        this.#call.createTensor(
          pointer(memory?.info ?? this.#memoryInfo),
          pointer(address),
          bytes,
          shapeAddress,
          shape.length,
          type,
          out,
        ),
      `making a tensor of shape [${shape.join(', ')}]`,
    );
  }

  /**
   * Runs the session. `inputs`/`outputs` are addresses of arrays of tensor handles that go with the
   * arrays of names; preset outputs are written in place. No allocation on this path.
   */
  run(session: number, inputs: TensorList, outputs: TensorList): void {
    const status = this.#call.run(
      pointer(session),
      null,
      pointer(inputs.names),
      pointer(inputs.values),
      inputs.count,
      pointer(outputs.names),
      outputs.count,
      pointer(outputs.values),
    );
    this.check(status, 'running the model');
  }

  /** Room for a list of tensors with fixed names. */
  tensorList(names: readonly string[]): TensorList {
    const nameArray = this.#scratch.take(names.length * 8);
    const nameView = new BigUint64Array(viewBytes(nameArray, names.length * 8).buffer);
    names.forEach((name, index) => {
      nameView[index] = BigInt(this.#scratch.text(name));
    });
    const values = this.#scratch.take(names.length * 8);
    const handles = new BigUint64Array(viewBytes(values, names.length * 8).buffer);
    return { names: nameArray, values, count: names.length, handles };
  }

  check(status: number, doing: string): void {
    if (status === 0 || status === null) return;
    const text = this.#call.getErrorMessage(pointer(status));
    const message = new CString(pointer(text)).toString();
    this.#call.releaseStatus(pointer(status));
    throw new Fault('engine', `${doing}: ONNX Runtime says: ${message}`);
  }

  #create(make: (out: Pointer) => number, doing = 'starting ONNX Runtime'): number {
    const out = this.#scratch.out();
    this.check(make(out), doing);
    return read.ptr(out, 0);
  }
}

export type TensorList = {
  readonly names: number;
  readonly values: number;
  readonly count: number;
  /** Tensor handles in the order of the names. */
  readonly handles: BigUint64Array;
};

function linkTable(api: Pointer): Record<keyof typeof table, Call> {
  const names = Object.keys(table) as (keyof typeof table)[];
  const linked = linkSymbols(
    Object.fromEntries(
      names.map((name) => {
        const [index, args, returns] = table[name];
        return [name, { args: [...args], returns, ptr: pointer(read.ptr(api, index * 8)) }];
      }),
    ),
  ).symbols;
  // linkSymbols types each entry by its literal; through the table they are all `Call`s.
  return linked as unknown as Record<keyof typeof table, Call>;
}

/** Native memory for small things, given out once, 16-byte aligned, in 64 KiB pieces. */
class Scratch {
  #next = 0;
  #end = 0;
  readonly #outAddress = mapAnonymousMemory(4096).address;

  take(bytes: number): number {
    if (this.#next + bytes > this.#end) {
      const piece = mapAnonymousMemory(Math.max(65_536, bytes));
      this.#next = piece.address;
      this.#end = piece.address + piece.bytes;
    }
    const address = this.#next;
    this.#next += (bytes + 15) & ~15;
    return address;
  }

  /** The one out-parameter cell; read it before the next call. */
  out(): Pointer {
    return pointer(this.#outAddress);
  }

  text(value: string): Pointer {
    const encoded = new TextEncoder().encode(`${value}\0`);
    const address = this.take(encoded.length);
    viewBytes(address, encoded.length).set(encoded);
    return pointer(address);
  }

  /** int64 dimensions in the one shape cell; ONNX Runtime copies them before it returns. */
  shape(dimensions: readonly number[]): Pointer {
    const address = this.#outAddress + 64;
    new BigInt64Array(viewBytes(address, 8 * 8).buffer).set(dimensions.map(BigInt));
    return pointer(address);
  }
}
