export { removeImages } from './remove-images.ts'
export { makeBuilder, type BuilderOptions } from './builder.ts'
export { makeEngine, type Engine } from './engine.ts'
export { makeDockerRuntime, type DockerRuntime, type DockerRuntimeOptions } from './runtime.ts'
