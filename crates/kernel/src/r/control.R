# What runs inside an R kernel: takes cells from fd 3, runs them in the global environment, answers on fd 4.
#
# This code has an environment of its own, behind which are copies of base's functions, and then base itself: user code sees
# none of it but the few functions of base that it replaces, and can neither shadow nor replace what it uses; but the methods
# that user code defines are found from here. `channel` is from the command line.
#
# An interrupt (SIGINT) is only let in while user code runs, or waits for input. So no frame is ever torn.
#
# Until the default packages are attached, only base may be used here.

options(keep.source = FALSE)
suspendInterrupts({

text_limit <- 262144L # of an error's message or traceback: nobody reads more, and frames stay small
answers <- file("/dev/fd/4", "wb", raw = TRUE)
# How long the machine has been up; NULL where that is not told.
uptime <- tryCatch(file("/proc/uptime", "rb"), error = function(e) NULL, warning = function(e) NULL)
pid <- Sys.getpid()

quit_process <- quit # of the process, where the program's ends a cell

# A forked copy of this process (parallel::mclapply) speaks no more on the channel.
is_ours <- function() Sys.getpid() == pid

# ------------------------------------------------------------------------------------------------------------ JSON

controls <- vapply(c(1:31, 127L), intToUtf8, "")
control_names <- sprintf("\\u%04x", c(1:31, 127L))

whole <- function(text) {
  text <- enc2utf8(text)
  if (validUTF8(text)) text else iconv(text, "UTF-8", "UTF-8", sub = "\ufffd")
}

quote_json <- function(text) {
  text <- whole(text)
  text <- gsub("\\", "\\\\", text, fixed = TRUE)
  text <- gsub("\"", "\\\"", text, fixed = TRUE)
  text <- gsub("\n", "\\n", text, fixed = TRUE)
  if (grepl("[\001-\037\177]", text, perl = TRUE)) {
    for (i in seq_along(controls)) text <- gsub(controls[[i]], control_names[[i]], text, fixed = TRUE)
  }
  paste0("\"", text, "\"")
}

object_json <- function(fields) {
  paste0("{", paste0(vapply(names(fields), quote_json, ""), ":", fields, collapse = ","), "}")
}

token <- "\"[^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+\"|true|false|null|-?[0-9][0-9.eE+-]*"

# Reads the one kind of object that comes: flat. Its strings are, as the server writes them, strings of R too.
parse_object <- function(text) {
  places <- gregexpr(token, text, perl = TRUE)[[1L]] # `regmatches` takes twice the time of all of this
  tokens <- substring(text, places, places + attr(places, "match.length") - 1L)
  keys <- seq.int(1L, by = 2L, length.out = length(tokens) %/% 2L)
  values <- lapply(tokens[keys + 1L], function(item) switch(item,
    "true" = TRUE, "false" = FALSE, "null" = NULL,
    if (startsWith(item, "\"")) parse_string(item) else as.numeric(item)
  ))
  names(values) <- vapply(tokens[keys], function(item) substr(item, 2L, nchar(item) - 1L), "")
  values
}

parse_string <- function(item) {
  # R knows no NUL in a string.
  if (grepl("\\u0000", item, fixed = TRUE)) item <- gsub("(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000", "\\1", item, perl = TRUE)
  # Inside backticks or braces nothing changes: it is one literal.
  value <- parse(text = item, keep.source = FALSE, encoding = "UTF-8")[[1L]]
  Encoding(value) <- "UTF-8"
  value
}

# ---------------------------------------------------------------------------------------------------------- frames

send <- function(text) {
  if (!is_ours()) return(invisible())
  data <- charToRaw(text)
  suspendInterrupts({
    writeBin(c(writeBin(length(data), raw(), endian = "big"), data), answers)
    flush(answers)
  })
}

drop_nul <- function(data) data[data != as.raw(0L)]

# What has been read of the channel and not taken yet.
unread <- raw()

# The frame at the front of `unread`, or NULL if it is not there whole.
take_frame <- function() {
  if (length(unread) < 4L) return(NULL)
  end <- 4L + readBin(unread[1:4], "integer", endian = "big")
  if (length(unread) < end) return(NULL)
  text <- rawToChar(drop_nul(unread[5:end]))
  unread <<- unread[-seq_len(end)]
  Encoding(text) <- "UTF-8"
  parse_object(text)
}

# The next message.
receive <- function() {
  while (is.null(message <- take_frame())) {
    more <- readBin(channel, "raw", 65536L) # what is there, at least a byte
    if (length(more) == 0L) quit("no", 0L, FALSE) # nobody is there any more
    unread <<- c(unread, more)
  }
  message
}

# The same pipe, for looking whether something is there.
waiting <- fifo("/dev/fd/3", "rb", blocking = FALSE)

# The next message if it is there whole, else NULL.
peek <- function() suspendInterrupts({
  repeat {
    if (!is.null(message <- take_frame())) return(message)
    # That nothing is there is an error of the read, which the program must not find as its own last one.
    last <- geterrmessage()
    more <- tryCatch(readBin(waiting, "raw", 65536L), error = function(e) raw())
    .Internal(seterrmessage(last))
    if (length(more) == 0L) return(NULL)
    unread <<- c(unread, more)
  }
})

