"""Training of models, on one device or many.

`trainer` has the step and the loop, and knows a model by its `task` alone;
`order_task` is the order model's (`loss`, `validation`). `run` goes from a data
set to a scored model file, `sweep` through many runs, `scaling` fits laws to
them. `optimizer`, `sharding`, `checkpoint` and `progress` are the parts of the
loop, and `cost` plans a run before it starts.
"""
