# ------------------------------------------------------------------------------------------------------------ copies
#
# A program may replace any function of R's packages where it is: with `assign` and `unlockBinding`, with
# `assignInNamespace`, with `trace`. So the harness calls copies that were taken before the program's first line, and what a
# copy calls is a copy as well. They are promises: only what is called is loaded and copied. The harness itself is compiled
# before (`compile.R`): R would compile it while it runs, by functions that call the program's.

# What stays R's own: variables that R or a program changes, and what would make a package of the copies.
not_copied <- c(
  ".Device", ".Devices", ".Last.value", ".Options", ".Random.seed", ".Traceback", "last.warning",
  ".packageName", ".__NAMESPACE__."
)

# What makes a copy is not a copy itself: it looks up nothing but this.
copying <- new.env(parent = emptyenv())
copying_uses <- c("{", "(", "if", "<-", "&&", "[[", "c", "list", "quote", ".Internal", "identical")
.Internal(importIntoEnv(copying, copying_uses, .BaseNamespaceEnv, copying_uses))
copying$base_namespace <- .BaseNamespaceEnv
copying$load <- lazyLoadDBfetch

replaced <- new.env(parent = emptyenv()) # functions of base in whose place the harness has put others

# The objects of a namespace as they are now (`originals`), and what the harness calls (`copies`).
copy_namespace <- function(namespace, parent) {
  names <- names(namespace)
  names <- names[is.na(match(names, not_copied))]
  originals <- new.env(parent = emptyenv())
  .Internal(importIntoEnv(originals, names, namespace, names)) # promises as they are: nothing is loaded
  if (identical(namespace, .BaseNamespaceEnv)) list2env(as.list(replaced, all.names = TRUE), originals)
  copies <- new.env(parent = parent)
  # R loads a function when it is first asked for, by a function that a program may have replaced meanwhile.
  original <- function(name) {
    loads <- base_namespace[["lazyLoadDBfetch"]]
    if (identical(loads, load)) {
      originals[[name]]
    } else {
      .Internal(unlockBinding(quote(lazyLoadDBfetch), base_namespace))
      .Internal(assign("lazyLoadDBfetch", load, base_namespace, FALSE))
      value <- originals[[name]]
      .Internal(assign("lazyLoadDBfetch", loads, base_namespace, FALSE))
      value
    }
  }
  # The code stays compiled as it is.
  copy <- function(name) {
    value <- original(name)
    if (identical(.Internal(typeof(value)), "closure") && identical(.Internal(environment(value)), namespace)) {
      .Internal(as.function.default(c(.Internal(formals(value)), list(.Internal(bodyCode(value)))), copies))
    } else {
      value
    }
  }
  place <- list2env(list(namespace = namespace, originals = originals, copies = copies), parent = copying)
  environment(original) <- environment(copy) <- place
  place$original <- original
  place$copy <- copy
  .Internal(makeLazy(names, as.list(names), quote(copy(name)), place, copies))
  list(originals = originals, copies = copies)
}

base <- NULL # once they are made: after the kernel is ready, and before the program's first line
harness <- environment()

# From then on the copies are what is found.
call_copies <- function() {
  base <<- copy_namespace(.BaseNamespaceEnv, .BaseNamespaceEnv)
  devices <<- copy_namespace(asNamespace("grDevices"), base$copies)$copies
  show <<- asNamespace("methods")$show
  # R calls these at every error and warning.
  for (name in c(".handleSimpleError", ".signalSimpleWarning")) replace_in(.BaseNamespaceEnv, name, base$copies[[name]])
  .Internal(`parent.env<-`(harness, base$copies))
}

