"""What the world assumes about AWS, asked of AWS: one small run in an account, and a record of the answers.

    plan ─▶ made (an instance, an interface, a group, a role, a bucket; or given ones) ─▶ probes ─▶ record
              └─▶ ledger: undone last to first, whatever happens ─▶ sweep by tag

`world --assumptions` tells of each behaviour how it is known. Those that are `assumed` stand in `assumed.TABLE`, with
the probe that asks for them or with the reason why AWS cannot be asked; a test compares the two lists.

To ask for one more: a row in the table, and a `probe_*` in the module of its service. A probe gets `ask`, by which
calls are made and recorded, and `made`; it returns a verdict of `record`. What it decides from the answers is a
function of its own, so that it can be tested without a service.
"""
