local({
  channel <- fifo("/dev/fd/3", "rb", blocking = TRUE)
  take <- function(size) {
    data <- raw()
    while (length(data) < size) {
      more <- readBin(channel, "raw", size - length(data))
      if (length(more) == 0L) quit("no", 0L, FALSE)
      data <- c(data, more)
    }
    data
  }
  frame <- function() take(readBin(take(4L), "integer", endian = "big"))
  compiled <- frame()
  source <- rawToChar(frame())
  Encoding(source) <- "UTF-8"
  harness <- new.env(parent = .BaseNamespaceEnv)
  assign("channel", channel, harness)
  compiled <- tryCatch(unserialize(compiled), error = function(e) NULL)
  is_ours <- is.list(compiled) && identical(compiled$version, R.version.string)
  for (part in if (is_ours) compiled$code else parse(text = source, keep.source = FALSE)) eval(part, harness)
})
