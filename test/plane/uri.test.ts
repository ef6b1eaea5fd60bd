import { describe, expect, test } from 'bun:test';
import { natsConfig } from '../../src/plane/nats-config.ts';
import { parsePlaneUris } from '../../src/plane/uri.ts';

const plain = { tls: false, user: null, password: null, token: null, certificateNames: ['h'] };

describe('request plane address', () => {
  test('the forms that users write', () => {
    expect(parsePlaneUris('nats://localhost:4223')).toEqual([
      {
        ...plain,
        host: '127.0.0.1',
        port: 4223,
        certificateNames: ['localhost', '127.0.0.1'],
        shown: 'nats://localhost:4223',
      },
    ]);
    expect(parsePlaneUris('head:4223')[0]).toMatchObject({ host: 'head', port: 4223 });
    expect(parsePlaneUris('head')[0]).toMatchObject({ host: 'head', port: 4222 });
    expect(parsePlaneUris('tls://a:1, b:2').map(({ shown }) => shown)).toEqual([
      'tls://a:1',
      'nats://b:2',
    ]);
    expect(parsePlaneUris('nats://[::1]:4223')[0]).toMatchObject({
      host: '::1',
      port: 4223,
      shown: 'nats://[::1]:4223',
    });
  });

  test('credentials are read and never shown', () => {
    expect(parsePlaneUris('nats://me:p%40ss@h:1')[0]).toEqual({
      ...plain,
      host: 'h',
      port: 1,
      user: 'me',
      password: 'p@ss',
      shown: 'nats://h:1',
    });
    expect(parsePlaneUris('tls://s3cret@h:1')[0]).toMatchObject({ token: 's3cret', user: null });
    expect(() => parsePlaneUris('http://me:s3cret@h:1')).toThrow('http://***@h:1');
    expect(() => parsePlaneUris('http://me:s3cret@h:1')).not.toThrow('s3cret');
  });

  test('a password that was not escaped is not shown either', () => {
    for (const bad of [
      'u:geh/eim@h:1',
      'nats://u/geheim@h',
      'u:geheim,x@h',
      'nats://u:geheim',
      'x,u:geheim@h:z',
    ]) {
      expect(() => parsePlaneUris(bad)).toThrow(/request plane address/);
      expect(() => parsePlaneUris(bad)).not.toThrow(/geh|eim/);
    }
  });

  test('what is none is refused with what to write instead', () => {
    for (const bad of ['', 'a,,b', 'http://x', 'nats://', 'nats://h:99999', 'h:1/path', 'h:x']) {
      expect(() => parsePlaneUris(bad)).toThrow(/request plane address .*write host:port/);
    }
  });

  test('the server’s configuration carries host, port, credentials, quoted', () => {
    const [uri] = parsePlaneUris('nats://me:a"b\\c@localhost:0');
    if (uri === undefined) throw new Error('one address');
    const text = natsConfig(uri, '/tmp/x y');
    expect(text).toContain('host: "127.0.0.1"');
    expect(text).toContain('port: -1');
    expect(text).toContain('store_dir: "/tmp/x y"');
    expect(text).toContain('authorization { user: "me", password: "a\\"b\\\\c" }');
  });
});
