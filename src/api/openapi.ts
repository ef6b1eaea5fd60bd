// GET /openapi.json and GET /docs, made once from the table of routes and the schemas that requests are
// parsed with: nothing in them is written twice.

import type { Gateway } from './gateway.ts';
import { type JsonSchema, jsonSchema } from './json-schema.ts';
import type { Route } from './route.ts';

/** `routes`, and the two that describe them (and themselves). */
export function withDocs(routes: readonly Route[]): readonly Route[] {
  let document: Document | null = null;
  const made = ({ version }: Gateway): Document => {
    document ??= openapi(all, version);
    return document;
  };
  const all: readonly Route[] = [
    ...routes,
    {
      path: '/openapi.json',
      summary: 'This description, OpenAPI 3.1',
      get: (gateway) => Response.json(made(gateway)),
    },
    {
      path: '/docs',
      summary: 'The same to read',
      get: (gateway) => new Response(page(made(gateway)), { headers: pageHeaders }),
    },
  ];
  return all;
}

type Operation = {
  readonly summary: string;
  readonly parameters?: readonly object[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, object>>;
  readonly security: readonly object[];
};

type Document = {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
};

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  },
};

export function openapi(routes: readonly Route[], version: string): Document {
  const paths = routes.map((route) => [route.shownPath ?? route.path, operations(route)] as const);
  return {
    openapi: '3.1.0',
    info: { title: 'tdist', version },
    paths: Object.fromEntries(paths),
    components: {
      schemas: { Error: errorSchema },
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operations(route: Route): Readonly<Record<string, Operation>> {
  const methods = (['get', 'post', 'delete'] as const).filter(
    (method) => route[method] !== undefined,
  );
  return Object.fromEntries(methods.map((method) => [method, operation(route, method)]));
}

function operation(route: Route, method: 'get' | 'post' | 'delete'): Operation {
  const names = [...(route.shownPath ?? '').matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const schema = { type: 'string' };
  const parameters = names.map((name) => ({ name, in: 'path', required: true, schema }));
  const body = method === 'post' ? route.body : undefined;
  const json = (content: object): object => ({ 'application/json': { schema: content } });
  return {
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: json(jsonSchema(body)) } }),
    responses: {
      '200': { description: 'As in the API of OpenAI, where it has this route' },
      default: { description: 'Failed', content: json({ $ref: '#/components/schemas/Error' }) },
    },
    // A key where the gateway was given some.
    security: route.isOpen === true ? [] : [{ key: [] }, {}],
  };
}

const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
};

function page({ info, paths }: Document): string {
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary, requestBody }]) => {
      const title = `<h2><code>${method.toUpperCase()} ${escaped(path)}</code></h2>`;
      const text = `${title}\n<p>${escaped(summary)}</p>`;
      if (requestBody === undefined) return text;
      const schema = escaped(JSON.stringify(requestBody, null, 2));
      return `${text}\n<details><summary>Body</summary><pre>${schema}</pre></details>`;
    }),
  );
  const style = 'body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(info.title)} API</title>
<style>${style}h2{margin-bottom:0}pre{overflow:auto}</style></head>
<body><h1>${escaped(info.title)} ${escaped(info.version)}</h1>
<p>For programs: <a href="/openapi.json">openapi.json</a></p>
${rows.join('\n')}
</body></html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
