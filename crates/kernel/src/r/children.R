
# -------------------------------------------------------------------------------------------------------- children
#
# R cannot mark a descriptor as not to be inherited. So every shell that it starts begins by closing what is the
# kernel's: the control channel, and the file with the text of the command line.

closing <- local({
  place <- "/proc/self/fd"
  open <- list.files(place)
  # A shell knows descriptors of one digit only, and so early there are no others.
  open <- open[grepl("^[3-9]$", open) & nzchar(Sys.readlink(file.path(place, open)))]
  paste0("exec ", paste0(open, "<&-", collapse = " "), "; ")
})
closing_before <- function(command) if (is.character(command)) paste0(closing, command) else command

# The same code, with the commands of this internal function beginning so.
close_first <- function(code, internal) {
  if (identical(code[[1L]], quote(.Internal)) && identical(code[[2L]][[1L]], internal)) {
    code[[2L]][[2L]] <- as.call(list(closing_before, code[[2L]][[2L]]))
    return(code)
  }
  for (i in seq_along(code)) if (is.call(code[[i]])) code[[i]] <- close_first(code[[i]], internal)
  code
}

closing_first <- function(original, internal) {
  body(original) <- close_first(body(original), internal)
  original
}

wrap_base("pipe", function(original) closing_first(original, quote(pipe)))

# A child process takes the signal while R waits for it and ignores its own: its death by SIGINT (status 2) is ours.
for (name in c("system", "system2")) wrap_base(name, function(original) {
  originals <- structure(list(closing_first(original, quote(system))), names = name)
  wrapped <- function() NULL
  body(wrapped) <- substitute({
    call <- sys.call()
    call[[1L]] <- name # which warnings show
    result <- withVisible(eval(call, originals, parent.frame()))
    if (is_ours()) heed()
    if (result$visible) result$value else invisible(result$value)
  }, list(name = call("quote", as.name(name)), originals = originals, heed = heed, is_ours = is_ours))
  wrapped
})

# ----------------------------------------------------------------------------------------------------- connections
#
# The harness's own connections are none of the program's: what lists or closes "all" of them does not see them.

own_connections <- as.integer(c(channel, answers, waiting, uptime))
wrap_base("getAllConnections", function(original) function() setdiff(original(), own_connections))
wrap_base("getConnection", function(original) function() {
  if (what %in% own_connections) stop(gettextf("there is no connection %d", as.integer(what)), domain = NA)
  original(what)
})
wrap_base("showConnections", function(original) function() {
  table <- original(all)
  table[!rownames(table) %in% as.character(own_connections), , drop = FALSE]
})
wrap_base("close.connection", function(original) function() {
  if (as.integer(con) %in% own_connections) stop("invalid connection")
  original(con, type, ...)
})
