export { labelNames } from './runtime.ts'
export { join } from './attached.ts'
export type { Attached, AttachedClient, AttachedRuntime, AttachedSpec, ClientListener } from './attached.ts'
export type {
  AddressRange,
  Exit,
  Instance,
  InstanceChange,
  InstanceLimits,
  InstanceLogLine,
  InstanceLogOptions,
  InstanceSpec,
  Listener,
  RunOptions,
  Runtime,
  SeenContainer,
} from './runtime.ts'
export type { CheckRequest, Probes } from './checks/check.ts'
export { choosePort, type ChosenPort } from './checks/choose-port.ts'
export { keepChecked, runChecks, type CheckReport } from './checks/run-checks.ts'
export { freeAddress, takeAddress } from './addresses.ts'
export { tryConnect, waitForPort } from './wait-for-port.ts'
export { makeMemoryRoom, type MemoryRoom, type WantedMemory } from './memory-room.ts'
