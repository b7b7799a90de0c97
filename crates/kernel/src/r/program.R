# ---------------------------------------------------------------------------------------------------------- program

# What `Rscript` starts R with.
name_program <- function(file, given) {
  file <- if (file != "-") paste0("--file=", file)
  words <- c(commandArgs()[[1L]], "--no-echo", "--no-restore", file, if (length(given)) c("--args", given))
  wrap_base("commandArgs", function(original) function() {
    if (!trailingOnly) return(words)
    from <- match("--args", words, 0L)
    if (from) words[-seq_len(from)] else character()
  })
}

