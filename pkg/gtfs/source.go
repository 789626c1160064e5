package gtfs

import (
	"archive/zip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile is the most bytes of a file of the feed: forty times the greatest known ones, and a bound for zip bombs.
const maxFile = 2 << 30

// source is where a feed's files come from.
type source struct {
	files fs.FS
	zip   *zip.ReadCloser // nil for a folder
}

func open(name string) (*source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &source{files: os.DirFS(name)}, nil
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, fmt.Errorf("%s is neither a folder nor a zip file: %w", name, err)
	}
	s := &source{files: z, zip: z}
	if sub := commonFolder(z.File); sub != "" {
		if s.files, err = fs.Sub(z, sub); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// commonFolder is the folder that holds stops.txt, where a feed was packed with its folder.
func commonFolder(files []*zip.File) string {
	for _, f := range files {
		if dir, base := path.Split(f.Name); base == "stops.txt" && fs.ValidPath(strings.TrimSuffix(dir, "/")) && dir != "" {
			return strings.TrimSuffix(dir, "/")
		}
	}
	return ""
}

func (s *source) close() {
	if s.zip != nil {
		_ = s.zip.Close() // nothing was written
	}
}

// need says whether a file may be missing.
type need bool

const (
	required need = true
	optional need = false
)

// row is one line of a file.
type row struct {
	file    string
	line    int
	columns map[string]int
	fields  []string
}

// get is a field without the blanks around it; empty if the line or the file does not have it.
func (r *row) get(column string) string {
	if i, ok := r.columns[column]; ok && i < len(r.fields) {
		return strings.TrimSpace(r.fields[i])
	}
	return ""
}

func (r *row) problem(column, want string) *Problem {
	return &Problem{File: r.file, Line: r.line, Column: column, Value: clip(r.get(column)), Want: want}
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// each calls take for every line of a file that has the columns it must have. The row is valid during the call only.
func (s *source) each(name string, n need, columns []string, take func(*row) error) error {
	file, err := s.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if n == optional {
			return nil
		}
		return fmt.Errorf("%s is missing", name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // nothing was written
	if info, err := file.Stat(); err != nil || info.Size() > maxFile {
		return errors.Join(err, fmt.Errorf("%s is too large; want at most %d bytes", name, maxFile))
	}
	lines := csv.NewReader(io.LimitReader(file, maxFile))
	lines.FieldsPerRecord, lines.ReuseRecord = -1, true
	r := &row{file: name}
	if r.columns, err = header(lines, name, columns); err != nil || r.columns == nil {
		return err
	}
	for {
		if r.fields, err = lines.Read(); errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err) // from here on no line can be told from the next
		}
		r.line, _ = lines.FieldPos(0)
		if err := take(r); err != nil {
			return err
		}
	}
}

// header reads the first line; nil for an empty file.
func header(lines *csv.Reader, name string, columns []string) (map[string]int, error) {
	first, err := lines.Read()
	if errors.Is(err, io.EOF) {
		if len(columns) > 0 {
			return nil, fmt.Errorf("%s is empty", name)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	found := make(map[string]int, len(first))
	for i, c := range first {
		if i == 0 {
			c = strings.TrimPrefix(c, "\uFEFF")
		}
		if !utf8.ValidString(c) {
			return nil, fmt.Errorf("%s: the header is not UTF-8", name)
		}
		found[strings.TrimSpace(c)] = i
	}
	if i := slices.IndexFunc(columns, func(c string) bool { _, ok := found[c]; return !ok }); i >= 0 {
		return nil, fmt.Errorf("%s: column %s is missing; found %s", name, columns[i], clip(strings.Join(first, ", ")))
	}
	return found, nil
}
