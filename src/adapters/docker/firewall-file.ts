import { join } from 'node:path'

/** The firewall's rules as they were last written, for iptables-restore at the machine's next start. */
export const firewallFile = (dataDir: string): string => join(dataDir, 'firewall.rules')
