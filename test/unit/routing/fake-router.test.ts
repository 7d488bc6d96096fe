import { makeFakeRouter } from '../../support/fake-router.ts'
import { routerContract } from '../../support/router-contract.ts'

routerContract('the fake router', async () => makeFakeRouter())
