/** Where a port number comes from: what a failed check says about it. */
export interface ChosenPort {
  readonly port: number
  readonly from: 'PORT' | 'slipway.yml' | 'EXPOSE' | 'default'
}

const defaultPort = 8080

/** The port that the app must listen on: the user's variable PORT, else its configuration, else the image's lowest EXPOSE, else 8080. */
export function choosePort(
  config: { readonly port: number | null },
  image: { readonly exposedPorts: readonly number[] },
  variable: string | null = null,
): ChosenPort {
  if (variable !== null) return { port: Number(variable), from: 'PORT' }
  if (config.port !== null) return { port: config.port, from: 'slipway.yml' }
  if (image.exposedPorts.length > 0) return { port: Math.min(...image.exposedPorts), from: 'EXPOSE' }
  return { port: defaultPort, from: 'default' }
}
