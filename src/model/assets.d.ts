// Files that `bun build --compile` carries; the import's value is the path they can be read from.
declare module '*.so.1' {
  const path: string;
  export default path;
}
declare module '*.safetensors' {
  const path: string;
  export default path;
}
