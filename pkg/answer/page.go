package answer

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/yupiao/yupiao/pkg/render"
)

// Page is a rendered answer with what goes with it, made once. Safe for concurrent use; its bytes must not be changed.
type Page struct {
	Body []byte
	// Tag of the body, in quotes; WeakTag stands for its compressed forms.
	Tag, WeakTag string
	// Position of the replica when it was made.
	Position string
	// Behind: a run of the answer is known to lack a change.
	Behind bool

	plain Form
	asked atomic.Uint32
	once  [codings]sync.Once
	coded [codings]atomic.Pointer[Form]
}

// Form is a body in a coding, and its length in digits. Shared, do not modify.
type Form struct {
	Coding Coding
	Body   []byte
	Length string
}

func newForm(c Coding, body []byte) Form { return Form{c, body, strconv.Itoa(len(body))} }

// Coding is a form of the body.
type Coding uint8

// The codings.
const (
	Gzip Coding = iota
	Zstd
	Plain
	codings = Plain
)

func (c Coding) String() string { return [...]string{"gzip", "zstd", "identity"}[c] }

func newPage(body []byte, position string, behind bool) *Page {
	tag := render.Tag(body)
	return &Page{Body: body, plain: newForm(Plain, body), Tag: tag, WeakTag: "W/" + tag, Position: position, Behind: behind}
}

const (
	// worthCoding is the least body that is compressed: below it the headers weigh more.
	worthCoding = 512
	// oftenAsked is from which request on a page is compressed: the work pays when it is shared.
	oftenAsked = 3
	// entryBytes is what an entry costs beside its bytes: measured by a test.
	entryBytes = 1800
)

// In gives the body in a coding that the caller takes, or plain: a page that is asked for once is not worth the work.
func (p *Page) In(c Coding) *Form {
	if c == Plain || len(p.Body) < worthCoding {
		return &p.plain
	}
	if form := p.coded[c].Load(); form != nil {
		return form
	}
	if p.asked.Add(1) < oftenAsked {
		return &p.plain
	}
	p.once[c].Do(func() {
		form := newForm(c, encode(c, p.Body))
		p.coded[c].Store(&form)
	})
	return p.coded[c].Load()
}

var (
	zstdWriter, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)) // these options are valid
	gzipWriters   = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
		return w
	}}
)

func encode(c Coding, body []byte) []byte {
	if c == Zstd {
		return bytes.Clone(zstdWriter.EncodeAll(body, make([]byte, 0, len(body)/4)))
	}
	var out bytes.Buffer
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&out)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return bytes.Clone(out.Bytes())
}
