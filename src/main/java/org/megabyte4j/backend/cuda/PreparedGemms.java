package org.megabyte4j.backend.cuda;

/** The products that are prepared, found by their looks without making an object. */
final class PreparedGemms {
    private final Gemm gemm;
    private GemmShape[] shapes = new GemmShape[64];
    private Gemm.Prepared[] products = new Gemm.Prepared[64];
    private int count;

    PreparedGemms(Gemm gemm) {
        this.gemm = gemm;
    }

    /** Prepares a product, unless it is prepared already. */
    void prepare(long m, long n, long k, int form) {
        int at = find(m, n, k, form);
        if (shapes[at] == null) {
            GemmShape shape = new GemmShape(m, n, k, form);
            products[at] = gemm.prepare(shape);
            shapes[at] = shape;
            if (2 * ++count > shapes.length) {
                grow();
            }
        }
    }

    /** @throws IllegalStateException if the product was not prepared */
    Gemm.Prepared get(long m, long n, long k, int form) {
        int at = find(m, n, k, form);
        if (shapes[at] == null) {
            throw new IllegalStateException("the product " + new GemmShape(m, n, k, form)
                    + " was not in the program's dry run");
        }
        return products[at];
    }

    /** Where the product is, or where it would go. */
    private int find(long m, long n, long k, int form) {
        long mixed = ((m * 31 + n) * 31 + k) * 31 + form;
        int mask = shapes.length - 1;
        int at = (int) (mixed * 0x9E3779B97F4A7C15L >>> 33) & mask;
        for (GemmShape held = shapes[at]; held != null; held = shapes[at]) {
            if (held.m() == m && held.n() == n && held.k() == k && held.form() == form) {
                return at;
            }
            at = at + 1 & mask;
        }
        return at;
    }

    private void grow() {
        GemmShape[] oldShapes = shapes;
        Gemm.Prepared[] oldProducts = products;
        shapes = new GemmShape[2 * oldShapes.length];
        products = new Gemm.Prepared[2 * oldShapes.length];
        for (int i = 0; i < oldShapes.length; i++) {
            if (oldShapes[i] != null) {
                GemmShape held = oldShapes[i];
                int at = find(held.m(), held.n(), held.k(), held.form());
                shapes[at] = held;
                products[at] = oldProducts[i];
            }
        }
    }
}
