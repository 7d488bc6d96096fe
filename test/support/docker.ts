import Docker from 'dockerode'

/** A client of a test's own: what it asks has no limit but the test's. */
export function dockerOf(socketPath = '/var/run/docker.sock'): Docker {
  // The types forbid the `undefined` that keeps a DOCKER_HOST in the environment from winning.
  return new Docker({ socketPath, host: undefined, protocol: 'http' } as object)
}
