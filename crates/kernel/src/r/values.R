# ---------------------------------------------------------------------------------------------------------- values

# Of a table that is shown: as many rows as pandas shows, and no more columns than a wide screen. Options by the names that
# notebooks use say otherwise.
rows_shown <- function() table_setting("repr.matrix.max.rows", 60L)
columns_shown <- function() table_setting("repr.matrix.max.cols", 40L)

table_setting <- function(name, default) {
  value <- getOption(name)
  if (!is.numeric(value) || length(value) != 1L || is.na(value) || value < 1) return(default)
  as.integer(min(value, .Machine$integer.max))
}

# What the function prints.
capture <- function(print_it) {
  sunk <- rawConnection(raw(), "wb")
  depth <- sink.number() + 1L
  sink(sunk)
  on.exit({
    while (sink.number() >= depth) sink()
    close(sunk)
  })
  print_it()
  while (sink.number() >= depth) sink() # a program's own ones on top of ours go with it
  text <- rawToChar(drop_nul(rawConnectionValue(sunk)))
  Encoding(text) <- "UTF-8"
  text
}

show <- NULL # of the package methods, once that is attached
print_x <- as.call(list(print, quote(x)))

# As the prompt prints it: methods of the program's come before R's, and what has no class asks for none.
print_value <- function(value) {
  if (isS4(value)) return(show(value))
  if (!is.object(value) && !is.function(value)) return(print.default(value))
  place <- new.env(parent = if (is.null(base_method(value))) globalenv() else environment())
  assign("x", value, place)
  eval(print_x, place)
}

# The name of the method of base that prints a value; NULL if it is another's: the program's, or a package's.
base_method <- function(value) {
  for (name in paste0("print.", class(value))) {
    place <- globalenv()
    while (!identical(place, baseenv())) {
      if (exists(name, place, mode = "function", inherits = FALSE)) return(NULL)
      place <- parent.env(place)
    }
    if (exists(name, base$originals, inherits = FALSE)) return(name)
    if (exists(name, .__S3MethodsTable__., inherits = FALSE)) return(NULL)
  }
  "print.default"
}

# Hands over the last value of a cell.
show_main <- function(value) {
  if (sink.number() > 0L || !is_ours()) return(print_value(value)) # the program wants it elsewhere
  print_shown <- function() {
    is_long <- tryCatch(is_long_table(value), error = function(e) FALSE) # a program's methods may fail
    if (is_long) print_part(value) else print_value(value)
  }
  text <- sub("\n$", "", allowInterrupts(capture(print_shown)))
  if (!nzchar(text)) return(invisible()) # a plot, or a print method that prints nothing
  data <- c("text/plain" = quote_json(text))
  # Its methods may fail, print, warn or take long.
  html <- NULL
  allowInterrupts(suppressWarnings(capture(function() html <<- tryCatch(html_of(value), error = function(e) NULL))))
  if (!is.null(html)) data <- c(data, "text/html" = quote_json(html))
  send_result(data, TRUE, class(value)[[1L]])
}

send_result <- function(data, main, what) {
  frame <- function(data) object_json(c(
    type = "\"result\"", nonce = quote_json(nonce), main = if (main) "true" else "false", data = object_json(data)
  ))
  text <- frame(data)
  size <- nchar(text, "bytes")
  if (size > frame_limit) {
    note <- sprintf("%s of %d bytes (%s): too large to show", what, size, paste(names(data), collapse = ", "))
    text <- frame(c("text/plain" = quote_json(note)))
  }
  send(text)
}

escape_html <- function(text) {
  text <- gsub("&", "&amp;", text, fixed = TRUE)
  text <- gsub("<", "&lt;", text, fixed = TRUE)
  gsub(">", "&gt;", text, fixed = TRUE)
}

# The value's own HTML (a table of htmltools, knitr and others), or a table's.
html_of <- function(value) {
  if (inherits(value, c("html", "shiny.tag", "shiny.tag.list"))) return(paste(as.character(value), collapse = "\n"))
  if (is.data.frame(value) && length(dim(value)) == 2L) return(table_html(value))
  if (is.matrix(value) && is.atomic(value) && !inherits(value, "table")) return(table_html(as.data.frame(value)))
  NULL
}

# The first and the last of `count`, with a gap (NA) where some are left out.
shown <- function(count, limit) {
  if (count <= limit) return(seq_len(count))
  tail <- limit %/% 2L
  c(seq_len(limit - tail), NA, count - rev(seq_len(tail)) + 1L)
}

present <- function(places) places[!is.na(places)]

# Puts a gap into the cells of a line, where the places have one.
with_gap <- function(cells, places, gap) if (anyNA(places)) append(cells, gap, which(is.na(places)) - 1L) else cells

# The cells of a table that are shown, as R prints them: its own formats of factors, dates, lists and tables within the
# table.
table_part <- function(table) {
  size <- dim(table)
  rows <- shown(size[[1L]], rows_shown())
  columns <- shown(size[[2L]], columns_shown())
  left <- size - c(length(present(rows)), length(present(columns)))
  part <- as.data.frame(table)[present(rows), present(columns), drop = FALSE]
  text <- as.matrix(format.data.frame(part, na.encode = FALSE))
  if (ncol(text) > ncol(part)) { # a column that is a table has become several
    gap <- which(is.na(columns))
    wide <- shown(ncol(text), columns_shown())
    left[[2L]] <- left[[2L]] + ncol(text) - length(present(wide))
    if (length(gap) && !anyNA(wide)) wide <- append(wide, NA, sum(column_widths(part)[seq_len(gap - 1L)]))
    text <- text[, present(wide), drop = FALSE]
    columns <- wide
  }
  list(text = text, names = row.names(part), rows = rows, columns = columns, size = size, left = left)
}

# How many columns each column is.
column_widths <- function(part) vapply(part, function(column) {
  if (is.data.frame(column)) ncol(as.matrix(format.data.frame(column))) else if (length(dim(column)) == 2L) ncol(column) else 1L
}, 1L)

# Of a table that is not shown whole.
size_note <- function(size) sprintf("%d rows \u00d7 %d columns", size[[1L]], size[[2L]])

table_html <- function(table) {
  part <- table_part(table)
  text <- part$text
  text[is.na(text)] <- "<NA>" # as R prints it, so that it is not the text "NA"
  tag <- function(name, cells) paste0("<", name, ">", escape_html(trimws(cells)), "</", name, ">")
  line <- function(cells) with_gap(cells, part$columns, "\u2026")
  names <- line(colnames(text))
  head <- paste0("<tr><th></th>", paste0("<th>", escape_html(names), "</th>", collapse = ""), "</tr>")
  lines <- vapply(seq_len(nrow(text)), function(i) {
    paste0("<tr>", tag("th", part$names[[i]]), paste0(tag("td", line(text[i, ])), collapse = ""), "</tr>")
  }, "")
  lines <- with_gap(lines, part$rows, paste0("<tr><th>\u22ee</th>", strrep("<td>\u22ee</td>", length(names)), "</tr>"))
  note <- if (anyNA(c(part$rows, part$columns))) paste0("\n<p>", size_note(part$size), "</p>") else ""
  paste0(
    "<table class=\"dataframe\">\n<thead>\n", head, "\n</thead>\n<tbody>\n",
    paste(lines, collapse = "\n"), "\n</tbody>\n</table>", note
  )
}

# Whether the prompt would print more of it than is shown. A class with a print method of its own decides by itself.
is_long_table <- function(value) {
  if (length(dim(value)) != 2L || min(dim(value)) == 0L || isS4(value)) return(FALSE)
  if (!is.data.frame(value)) return(is.matrix(value) && is.atomic(value) && !is.object(value) && exceeds(dim(value)))
  identical(base_method(value), "print.data.frame") && (exceeds(dim(value)) || sum(column_widths(value[0L, , drop = FALSE])) > columns_shown())
}

exceeds <- function(size) size[[1L]] > rows_shown() || size[[2L]] > columns_shown()

# Prints the cells that the table's HTML has, and says how many are left out.
print_part <- function(table) {
  part <- if (is.data.frame(table)) table_part(table) else matrix_part(table)
  text <- part$text
  dimnames(text) <- list(part$names, colnames(text))
  if (anyNA(part$columns)) {
    at <- which(is.na(part$columns)) - 1L
    text <- cbind(text[, seq_len(at), drop = FALSE], "\u2026" = "\u2026", text[, -seq_len(at), drop = FALSE])
  }
  if (anyNA(part$rows)) {
    at <- which(is.na(part$rows)) - 1L
    text <- rbind(text[seq_len(at), , drop = FALSE], "\u22ee" = "\u22ee", text[-seq_len(at), , drop = FALSE])
  }
  print.default(text, quote = FALSE, right = !is.character(table), max = .Machine$integer.max)
  out <- sprintf(c("%d rows (repr.matrix.max.rows)", "%d columns (repr.matrix.max.cols)"), part$left)[part$left > 0L]
  cat(size_note(part$size), "; left out: ", paste(out, collapse = ", "), "\n", sep = "")
}

# The same of a matrix, whose lines and columns have numbers where they have no names.
matrix_part <- function(table) {
  size <- dim(table)
  rows <- shown(size[[1L]], rows_shown())
  columns <- shown(size[[2L]], columns_shown())
  part <- table[present(rows), present(columns), drop = FALSE]
  text <- vapply(seq_len(ncol(part)), function(i) {
    column <- part[, i]
    if (is.character(column)) encodeString(column, quote = "\"") else format(column)
  }, character(nrow(part)))
  names <- rownames(part)
  if (is.null(names)) names <- sprintf("[%d,]", present(rows))
  heads <- colnames(part)
  if (is.null(heads)) heads <- sprintf("[,%d]", present(columns))
  dim(text) <- dim(part)
  colnames(text) <- heads
  list(text = text, names = names, rows = rows, columns = columns, size = size, left = size - dim(part))
}

alphabet <- charToRaw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

base64 <- function(data) {
  size <- length(data)
  bytes <- matrix(c(as.integer(data), rep(0L, (3L - size %% 3L) %% 3L)), 3L)
  out <- alphabet[1L + rbind(
    bytes[1L, ] %/% 4L,
    bytes[1L, ] %% 4L * 16L + bytes[2L, ] %/% 16L,
    bytes[2L, ] %% 16L * 4L + bytes[3L, ] %/% 64L,
    bytes[3L, ] %% 64L
  )]
  missing <- (3L - size %% 3L) %% 3L
  if (missing > 0L) out[length(out) - seq_len(missing) + 1L] <- charToRaw("=")
  rawToChar(out)
}

