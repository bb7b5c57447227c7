module gojudge

go 1.24
