// Path of the nats-server inside the executable, readable like any file but to be written out before
// it can run. This is the body for running from sources: none. build.ts puts another body in its
// place when it finds a nats-server.

export const embeddedNatsServer: string | null = null;
