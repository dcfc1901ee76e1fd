"""The SDK: an app's backend sends its events with it, and so do the tenant plane, the importers, the simulator.

Belongs here: sending, waiting and trying again, with httpx, orjson and zstandard alone; nothing else of the
platform is imported. `unmogrowp.client` has the public names. What an event must hold is the door's to judge.
"""
