# `multiprocessing` as notebooks know it.


def loaded(module, _):
    # Functions that a cell defined exist in a forked copy only. From Python 3.14 on that is not the default any more.
    fork = module._concrete_contexts.get("fork") if hasattr(module, "_concrete_contexts") else None
    if fork is not None:
        module._default_context = module.DefaultContext(fork)
