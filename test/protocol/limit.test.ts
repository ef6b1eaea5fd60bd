// How the limits stand to each other. Each line is a promise that the code elsewhere relies on.

import { describe, expect, test } from 'bun:test';
import { limit } from '../../src/protocol/limit.ts';

describe('limits', () => {
  test('each is a positive whole number', () => {
    for (const [name, value] of Object.entries(limit)) {
      expect([name, Number.isSafeInteger(value) && value > 0]).toEqual([name, true]);
    }
  });

  test('presence outlives two lost heartbeats', () => {
    expect(limit.presenceMs).toBeGreaterThan(3 * limit.heartbeatMs);
  });

  test('many bodies of the largest size may be on their way; one is slow long before its time-out', () => {
    expect(limit.slowBodyBytesMax).toBeGreaterThanOrEqual(8 * limit.bodyBytesMax);
    expect(limit.slowBodyMs).toBeLessThan(limit.bodyTimeoutMs / 10);
  });

  test('what dies at once each time is given up within its window, whatever its pauses', () => {
    const { restartCountMax, restartPauseMaxMs, restartWindowMs } = limit;
    expect(restartCountMax * restartPauseMaxMs).toBeLessThan(restartWindowMs);
    // … and what lives well each time is not.
    expect(restartCountMax * limit.restartHealthyMs).toBeGreaterThan(restartWindowMs);
  });

  test('a gateway is given up later than a worker, long before its reservations end by themselves', () => {
    expect(limit.gatewaySilenceMs).toBeGreaterThan(2 * limit.presenceMs);
    expect(limit.gatewaySilenceMs).toBeLessThan(limit.reserveMs / 4);
  });

  test('a place in a full queue is waited for less than a client notices, a step of the engine at least', () => {
    expect(limit.queueGraceMs).toBeLessThan(limit.heartbeatMs / 2);
  });

  test('a request is in the second heartbeat after it, at the latest', () => {
    expect(limit.loadLagMs).toBeLessThan(limit.heartbeatMs / 2);
  });

  test('a lease is longer than the sweep that ends it, and than waiting for an answer', () => {
    expect(limit.leaseMs).toBeGreaterThan(2 * limit.sweepMs);
    expect(limit.leaseMs).toBeGreaterThan(limit.replyTimeoutMs);
  });

  test('a reservation outlives the hand-over it waits for', () => {
    expect(limit.reserveMs).toBeGreaterThan(limit.leaseMs + limit.replyTimeoutMs);
  });

  test('a chunk whose logprobs are wanted fits a step, its rows where a batch has its own', () => {
    expect(limit.scoreTokens).toBeLessThanOrEqual(limit.stepTokens);
    expect(limit.scoreTokens).toBeLessThanOrEqual(limit.seqsDefault);
  });

  test('the largest logit_bias can be written', () => {
    expect(limit.jsonNameCountMax).toBeGreaterThan(limit.logitBiasCountMax);
  });

  test('one request’s choices are many, and as many as any of its limits allows alone', () => {
    expect(limit.choiceTotalMax).toBeGreaterThanOrEqual(limit.choiceCountMax);
    expect(limit.choiceTotalMax).toBeGreaterThanOrEqual(limit.promptCountMax);
    expect(limit.badWordTokensMax).toBeGreaterThan(4 * limit.badWordCharsMax);
  });

  test('a step has room for what prompts are promised of it', () => {
    expect(limit.chunkTokensMin).toBeLessThan(limit.stepTokens);
    expect(limit.stepChunkMax * limit.chunkTokensMin).toBeGreaterThanOrEqual(limit.stepTokens);
  });

  test('the names of cached blocks fit a heartbeat, and are looked at once for each at least', () => {
    expect(limit.prefixKeyMax * 24).toBeLessThan(64 * 1024);
    expect(limit.prefixTellMs).toBeLessThanOrEqual(limit.heartbeatMs);
  });

  test('large messages: kept longer than fetching may take, several fit, a body becomes one', () => {
    expect(limit.claimKeepMs).toBeGreaterThan(2 * limit.claimMs);
    expect(limit.messageBucketBytes).toBeGreaterThanOrEqual(4 * limit.messageBytesMax);
    expect(limit.messageBytesMax).toBeGreaterThanOrEqual(6 * limit.bodyBytesMax);
    expect(limit.messageHeadroomBytes).toBeLessThan(1024); // a text asset's slice stays one message
  });

  test('a connection is idle only when nobody could be waiting on it any more', () => {
    expect(limit.idleConnectionS * 1000).toBeGreaterThan(limit.streamSilenceMs);
    expect(limit.idleConnectionS * 1000).toBeGreaterThan(limit.readerSilenceMs);
    expect(limit.idleConnectionS).toBeLessThanOrEqual(255); // the most that Bun takes
  });

  test('a request lives longer than it may wait', () => {
    expect(limit.requestTimeoutMs).toBeGreaterThan(limit.queueTimeoutMsMax);
  });

  test('a mask that does not come is given up before its stream, and looked for more often', () => {
    expect(limit.grammarWatchMs).toBeLessThan(limit.grammarMaskMs);
    expect(limit.grammarStartMs + limit.grammarMaskMs).toBeLessThan(limit.streamSilenceMs);
    expect(limit.grammarCompileMs).toBeLessThan(limit.requestTimeoutMs);
  });

  test('a gap is noticed before the stream is given up for silence', () => {
    expect(limit.gapTimeoutMs).toBeLessThan(limit.streamSilenceMs);
    expect(limit.presenceMs).toBeLessThan(limit.streamSilenceMs);
    expect(limit.presenceMs).toBeLessThan(limit.outageSilenceMs);
    expect(limit.outageSilenceMs).toBeLessThan(limit.streamSilenceMs);
  });

  test('an asset slice in base64 with its envelope fits NATS’s default payload of 1 MiB', () => {
    expect(Math.ceil(limit.assetSliceBytes / 3) * 4 + 1024).toBeLessThan(1024 * 1024);
  });

  test('what a body may hold, its fields may hold', () => {
    expect(limit.stopCountMax * limit.stopCharsMax).toBeLessThan(limit.bodyBytesMax);
    expect(limit.messageCountMax).toBeLessThan(limit.bodyBytesMax);
  });

  test('the default arena holds a chunk of a one-billion-parameter model many times', () => {
    const tokenBytes = 16 * 2 * 8 * 64 * 4; // Llama 3.2 1B: layers · K,V · heads · size · float32
    expect(limit.arenaBytesDefault).toBeGreaterThan(3 * limit.stepTokens * tokenBytes);
  });
});
