# ----------------------------------------------------------------------------------------------------------- input
#
# `stdin()` and `file("stdin")` are an object that this file's versions of base's functions know. They ask over the
# control channel when the cell may, else they are at their end.

nonce <- ""
input_open <- FALSE
input_lines <- character()
interrupted <- FALSE

standard_input <- structure(0L, class = c("standard_input", "terminal", "connection"))
# Also by the names of descriptor 0, which programs for judges use.
input_names <- c("stdin", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
is_input <- function(con) {
  inherits(con, "standard_input") || is.character(con) && length(con) == 1L && con %in% input_names
}

# Waits for a message of this cell; an interrupt comes through.
await <- function(type) {
  pause <- 0.001
  repeat {
    message <- peek()
    if (!is.null(message) && identical(message$nonce, nonce)) {
      if (identical(message$type, type)) return(message)
      if (identical(message$type, "interrupt")) interrupted <<- TRUE
    }
    if (interrupted) stop(interruption())
    allowInterrupts(Sys.sleep(pause))
    pause <- min(pause * 1.5, 0.02) # people type slower than this looks
  }
}

interruption <- function() structure(list(message = "", call = NULL), class = c("interrupt", "condition"))

# Stops the cell if it was told to: a signal does not always reach R, such as while it waits for a child process.
heed <- function() {
  if (!nzchar(nonce)) return() # no cell runs: what comes is the next one
  while (!interrupted && !is.null(message <- peek())) {
    if (identical(message$type, "interrupt") && identical(message$nonce, nonce)) interrupted <<- TRUE
  }
  if (interrupted) stop(interruption())
}

# One line without its end, or NULL at the end of the input.
ask <- function(prompt = "") {
  if (length(input_lines) == 0L) {
    if (!input_open || !is_ours()) return(NULL)
    send(object_json(c(type = "\"input\"", nonce = quote_json(nonce), prompt = quote_json(prompt))))
    message <- await("stdin")
    input_open <<- !message$eof
    if (message$eof) return(NULL)
    # What was sent in one piece is a line, also without a newline at its end.
    lines <- strsplit(message$data, "\n", fixed = TRUE)[[1L]]
    input_lines <<- if (length(lines) == 0L) "" else sub("\r$", "", lines)
  }
  line <- input_lines[[1L]]
  input_lines <<- input_lines[-1L]
  line
}

ask_all <- function() {
  lines <- character()
  while (!is.null(line <- ask())) lines <- c(lines, line)
  lines
}

replace_in <- function(place, name, value) {
  locked <- bindingIsLocked(name, place)
  if (locked) unlockBinding(name, place)
  assign(name, value, place)
  if (locked) lockBinding(name, place)
}

# Replaces a function of base by one that is called with the original.
wrap_base <- function(name, wrapper) {
  original <- get(name, baseenv())
  wrapped <- wrapper(original)
  formals(wrapped) <- formals(args(original))
  replace_in(baseenv(), name, wrapped)
  if (!identical(get(name, .BaseNamespaceEnv), wrapped)) replace_in(.BaseNamespaceEnv, name, wrapped)
}

wrap_base("stdin", function(original) function() standard_input)
wrap_base("file", function(original) function() {
  if (is_input(description)) standard_input
  else original(description, open, blocking, encoding, raw = raw, method = method)
})
wrap_base("readline", function(original) function() {
  prompt <- as.character(prompt)
  prompt <- if (length(prompt) == 0L) "" else prompt[[1L]]
  if (!input_open && length(input_lines) == 0L) cat(prompt, "\n", sep = "") # nobody is asked: plain output, as R does
  line <- ask(prompt)
  if (is.null(line)) "" else line
})
wrap_base("readLines", function(original) function() {
  if (!is_input(con)) return(original(con, n, ok, warn, encoding, skipNul))
  lines <- character()
  while ((n < 0L || length(lines) < n) && !is.null(line <- ask())) lines <- c(lines, line)
  if (!ok && length(lines) < n) stop("too few lines read in readLines")
  lines
})
# The call of `scan` with the input's lines as its text: up to `count` items, an empty line (as at a prompt) or the end.
scan_input <- function(call, what, count, to_blank) {
  lines <- character()
  quiet <- call
  quiet$quiet <- TRUE
  while (!is.null(line <- ask())) {
    if (to_blank && !nzchar(line)) break
    lines <- c(lines, line)
    if (count > 0L) {
      words <- strsplit(trimws(lines), if (is.null(call$sep)) "[[:space:]]+" else as.character(call$sep))
      if (length(unlist(words)) >= count * max(1L, if (is.list(what)) length(what) else 1L)) break
    }
  }
  call$text <- if (length(lines)) lines else ""
  call
}

wrap_base("scan", function(original) {
  wrapped <- function() NULL
  body(wrapped) <- substitute({
    if (missing(text) && (identical(file, "") || is_input(file))) {
      call <- match.call()
      call$file <- NULL
      call[[1L]] <- original
      return(eval(scan_input(call, what, if (nmax > 0L) nmax else n, identical(file, "")), parent.frame()))
    }
    call <- match.call()
    if (!missing(file)) call$file <- file # evaluated once
    call[[1L]] <- original
    eval(call, parent.frame())
  }, list(original = original, is_input = is_input, scan_input = scan_input))
  wrapped
})

open.standard_input <- close.standard_input <- function(con, ...) invisible()
flush.standard_input <- open.standard_input
registerS3method("open", "standard_input", open.standard_input, baseenv())
registerS3method("close", "standard_input", close.standard_input, baseenv())
registerS3method("flush", "standard_input", flush.standard_input, baseenv())
