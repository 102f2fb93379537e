"""The preflight's thinking: from what people wrote in the inventory to one complete plan.

Pure functions over plain data, so that they are tested without a host. The action plugin
`preflight` gathers the data and hands back the plan.
"""
