package trial

// queue keeps values in the order of their coming; old ones leave at the front. It does not allocate while as many leave as come. The zero queue is empty.
type queue[T any] struct {
	items []T
	gone  int // so many at the front have left
}

func (q *queue[T]) all() []T { return q.items[q.gone:] }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

// last is the newest value, nil if there is none.
func (q *queue[T]) last() *T {
	if len(q.items) == q.gone {
		return nil
	}
	return &q.items[len(q.items)-1]
}

// drop lets n values leave. Memory is reused once a quarter of it is left behind, and given back when half is of no use.
func (q *queue[T]) drop(n int) {
	q.gone += n
	if q.gone*4 < len(q.items) || q.gone == 0 {
		return
	}
	if rest := len(q.items) - q.gone; cap(q.items) > 64 && rest*2 < cap(q.items) {
		q.tighten()
		return
	}
	kept := copy(q.items, q.all())
	clear(q.items[kept:])
	q.items, q.gone = q.items[:kept], 0
}

// tighten gives back what is not used, but for room to grow by an eighth.
func (q *queue[T]) tighten() {
	rest := q.all()
	q.items, q.gone = append(make([]T, 0, len(rest)+len(rest)/8+1), rest...), 0
}
