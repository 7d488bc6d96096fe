import winston from 'winston'

/**
 * The server's own log: constant messages with variable fields. What a build or an app prints is content and goes to the
 * deploy's log instead.
 */
export interface Logger {
  error(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  debug(message: string, fields?: Record<string, unknown>): void
  child(fields: Record<string, unknown>): Logger
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug'

/** JSON lines to a file (rotated by size), and people's lines to standard error. */
export function makeLogger(options: { level: LogLevel; file?: string; console: boolean }): Logger {
  const { combine, timestamp, json, errors, printf } = winston.format
  const people = printf(({ level, message, timestamp: at, ...fields }) => {
    const rest = Object.entries(fields).map(
      ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    return `${String(at).slice(11, 19)} ${level.padEnd(5)} ${String(message)}${rest.join('')}`
  })
  const transports: winston.transport[] = []
  if (options.console) {
    transports.push(
      new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'], format: people }),
    )
  }
  if (options.file !== undefined) {
    transports.push(
      new winston.transports.File({
        filename: options.file,
        maxsize: 10 * 1024 * 1024,
        maxFiles: 5,
        tailable: true,
        format: json(),
      }),
    )
  }
  return winston.createLogger({
    level: options.level,
    format: combine(causes(), errors({ stack: true }), timestamp()),
    transports,
    silent: transports.length === 0,
  })
}

/** Errors in fields print as nothing in JSON; this writes their message, stack and chain of causes. */
const causes = winston.format((info) => {
  for (const [key, value] of Object.entries(info)) {
    if (value instanceof Error) info[key] = describe(value)
  }
  return info
})

function describe(error: Error): Record<string, unknown> {
  return {
    message: error.message,
    stack: error.stack,
    ...('code' in error ? { code: error.code } : {}),
    ...(error.cause instanceof Error ? { cause: describe(error.cause) } : {}),
  }
}

export const silentLogger: Logger = makeLogger({ level: 'error', console: false })
