# ----------------------------------------------------------------------------------------------------------- input
#
# `stdin()` and `file("stdin")` are an object that this file's versions of base's functions know. They ask over the
# control channel when the cell may, else they are at their end.

nonce <- ""
input_open <- FALSE
input_lines <- character()
input_bytes <- raw() # what is left of the line that was read as bytes
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

# One line without its end, or NULL at the end of the input. A password is not to be shown where it is typed.
ask <- function(prompt = "", password = FALSE) {
  if (length(input_bytes) > 0L) {
    line <- sub("\n\\z", "", rawToChar(drop_nul(input_bytes)), perl = TRUE)
    Encoding(line) <- "UTF-8"
    input_bytes <<- raw()
    return(line)
  }
  if (length(input_lines) == 0L) {
    if (!input_open || !is_ours()) return(NULL)
    send(object_json(c(
      type = "\"input\"", nonce = quote_json(nonce), prompt = quote_json(prompt), password = if (password) "true" else "false"
    )))
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

# Up to so many bytes, of which there may be fewer at the end of the input only.
ask_bytes <- function(count) {
  pieces <- list()
  found <- 0
  while (found < count) {
    if (length(input_bytes) == 0L) {
      line <- ask()
      if (is.null(line)) break
      input_bytes <<- c(charToRaw(line), as.raw(10L))
    }
    taken <- seq_len(min(length(input_bytes), count - found))
    pieces[[length(pieces) + 1L]] <- input_bytes[taken]
    found <- found + length(taken)
    input_bytes <<- input_bytes[-taken]
  }
  as.raw(unlist(pieces))
}

# The bytes of up to so many characters. The first byte of one says how many follow.
ask_characters <- function(count) {
  data <- ask_bytes(count)
  repeat {
    starts <- which(bitwAnd(as.integer(data), 0xc0L) != 0x80L)
    missing <- count - length(starts)
    if (missing > 0L) {
      more <- ask_bytes(missing)
      if (length(more) == 0L) return(data)
      data <- c(data, more)
    } else if (length(starts) == 0L) {
      return(data)
    } else {
      last <- starts[[length(starts)]]
      size <- sum(as.integer(data[[last]]) >= c(0L, 0xc0L, 0xe0L, 0xf0L))
      return(c(data, ask_bytes(size - (length(data) - last + 1L))))
    }
  }
}

# The same function, which reads all of the input where it is given as `file`. Its calls look as they did.
reading <- function(name, original) {
  originals <- structure(list(original), names = name)
  wrapped <- function() NULL
  body(wrapped) <- substitute({
    call <- match.call()
    call[[1L]] <- name
    if (!missing(file) && is_input(file)) {
      call$file <- textConnection(ask_all())
      on.exit(close(call$file))
    } else if (!missing(file)) {
      call$file <- file # evaluated once
    }
    eval(call, originals, parent.frame())
  }, list(name = call("quote", as.name(name)), is_input = is_input, ask_all = ask_all, originals = originals))
  wrapped
}

# How many bytes one item of these takes for `readBin`.
size_of <- function(what, size) {
  if (is.numeric(size) && length(size) == 1L && !is.na(size)) return(size)
  switch(what, numeric = , double = 8, integer = , int = , logical = 4, complex = 16, 1)
}

replace_in <- function(place, name, value) {
  locked <- bindingIsLocked(name, place)
  if (locked) unlockBinding(name, place)
  assign(name, value, place)
  if (locked) lockBinding(name, place)
}

# Replaces a function of base by one that is called with the original, and calls it by its own name: errors and warnings
# show the call.
wrap_base <- function(name, wrapper) {
  original <- get(name, baseenv())
  assign(name, original, replaced)
  wrapped <- wrapper(original)
  formals(wrapped) <- formals(args(original))
  if (exists("original", environment(wrapped), inherits = FALSE)) {
    body(wrapped) <- do.call(substitute, list(body(wrapped), list(original = as.name(name))))
    assign(name, original, environment(wrapped))
  }
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
# What the package askpass asks by, and so those that ask for a key's or an account's password by it.
options(askpass = function(prompt = "Please enter your password: ") ask(as.character(prompt)[1L], password = TRUE))
wrap_base("file.choose", function(original) function() {
  path <- ask("Enter file name: ")
  if (is.null(path) || !nzchar(trimws(path))) stop("file choice cancelled")
  path.expand(trimws(path))
})
wrap_base("readLines", function(original) function() {
  if (!is_input(con)) return(original(con, n, ok, warn, encoding, skipNul))
  lines <- character()
  while ((n < 0L || length(lines) < n) && !is.null(line <- ask())) lines <- c(lines, line)
  if (!ok && length(lines) < n) stop("too few lines read in readLines")
  lines
})
wrap_base("readBin", function(original) function() {
  if (!is_input(con)) return(original(con, what, n, size, signed, endian))
  if (is.character(what) && length(what) == 1L && nzchar(what)) type <- what else type <- typeof(what)
  if (type == "character") {
    # Texts that end with a NUL, of which a text can have none.
    return(original(c(ask_bytes(Inf), as.raw(0L)), what, n, size, signed, endian))
  }
  original(ask_bytes(n * size_of(type, size)), what, n, size, signed, endian)
})
wrap_base("readChar", function(original) function() {
  if (!is_input(con)) return(original(con, nchars, useBytes))
  data <- if (useBytes) ask_bytes(sum(nchars)) else ask_characters(sum(nchars))
  if (length(data) == 0L) character() else original(data, nchars, useBytes)
})

# Functions of base that read text natively: they get what there is as a connection of the kind that they know.
for (name in c("parse", "read.dcf")) wrap_base(name, function(original) reading(name, original))

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
