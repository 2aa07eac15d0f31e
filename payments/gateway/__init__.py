"""The payment companies as the shop sees them: one small interface (`contract.Gateway`), a dialect behind each channel.

This is the shop's own reading of the dialects; it shares no code with the simulator, so each checks the other.
`channels` says which there are.
"""
