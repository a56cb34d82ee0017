package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import jcuda.Pointer;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * What the kernels of {@code optimizer.cu} must know about each parameter, in small tables of int64 in the GPU's
 * memory. A table is made when it is first asked for, which is in the dry run, and lives as long as the context.
 */
final class ParameterTables {
    /** Elements of a block of AdamW: {@code CHUNK} there. */
    static final int CHUNK = 4096;
    /** Tiles of Adafactor: {@code TILE_ROWS}, {@code TILE_COLUMNS} there. */
    static final int TILE_ROWS = 64;
    static final int TILE_COLUMNS = 256;
    private static final int ENTRY = 11;

    /** A table is made once for the same parameters. */
    private record Key(ParameterLayout layout, List<Boolean> decays) {
        static Key of(ParameterLayout layout, boolean[] decays) {
            List<Boolean> flags = new ArrayList<>();
            for (boolean flag : decays) {
                flags.add(flag);
            }
            return new Key(layout, flags);
        }
    }

    /**
     * Neighbouring parameters that all decay, or do not.
     *
     * @param count  runs
     * @param chunks blocks of {@link #CHUNK} elements
     */
    record Runs(Tensor table, int count, long chunks) { }

    /**
     * The parameters and their tiles.
     *
     * @param count parameters
     */
    record Entries(Tensor table, int count, long tiles) { }

    private final CudaContext context;
    private final List<Object> made = new ArrayList<>();
    private final List<Key> keys = new ArrayList<>();

    ParameterTables(CudaContext context) {
        this.context = context;
    }

    Runs runs(ParameterLayout layout, boolean[] decays) {
        return get(layout, decays, Runs.class, key -> makeRuns(layout, decays));
    }

    Entries entries(ParameterLayout layout, boolean[] decays) {
        return get(layout, decays, Entries.class, key -> makeEntries(layout, decays));
    }

    private <T> T get(ParameterLayout layout, boolean[] decays, Class<T> type, Function<Key, T> maker) {
        for (int i = 0; i < keys.size(); i++) {
            if (type.isInstance(made.get(i)) && matches(keys.get(i), layout, decays)) {
                return type.cast(made.get(i));
            }
        }
        Key key = Key.of(layout, decays);
        T table = maker.apply(key);
        keys.add(key);
        made.add(table);
        return table;
    }

    private static boolean matches(Key key, ParameterLayout layout, boolean[] decays) {
        if (key.layout != layout || key.decays.size() != decays.length) {
            return false;
        }
        for (int i = 0; i < decays.length; i++) {
            if (key.decays.get(i) != decays[i]) {
                return false;
            }
        }
        return true;
    }

    private Runs makeRuns(ParameterLayout layout, boolean[] decays) {
        List<ParameterLayout.Entry> entries = layout.entries();
        List<Long> ends = new ArrayList<>();
        for (int i = 0; i < decays.length; i++) {
            long end = i + 1 < decays.length ? entries.get(i + 1).offset() : layout.elements();
            long packed = end << 1 | (decays[i] ? 1 : 0);
            if (i > 0 && decays[i] == decays[i - 1]) {
                ends.set(ends.size() - 1, packed);
            } else {
                ends.add(packed);
            }
        }
        long chunks = Math.ceilDiv(layout.elements(), CHUNK);
        long[] table = new long[ends.size() + Math.toIntExact(chunks)];
        Arrays.setAll(table, i -> i < ends.size() ? ends.get(i) : 0);
        int run = 0;
        for (int chunk = 0; chunk < chunks; chunk++) {
            while (ends.get(run) >> 1 <= (long) chunk * CHUNK) {
                run++;
            }
            table[ends.size() + chunk] = run;
        }
        return new Runs(upload(table), ends.size(), chunks);
    }

    private Entries makeEntries(ParameterLayout layout, boolean[] decays) {
        List<ParameterLayout.Entry> entries = layout.entries();
        long tiles = tiles(layout);
        long[] table = new long[Math.toIntExact((long) entries.size() * ENTRY + tiles)];
        long state = 0;
        long tile = 0;
        long workspace = 2 * tiles + 2L * entries.size();
        for (int i = 0; i < entries.size(); i++) {
            Shape shape = Shape.of(entries.get(i));
            long rowPartials = workspace;
            long columnPartials = rowPartials + shape.rowPartials();
            long roots = columnPartials + shape.columnPartials();
            long[] fields = {entries.get(i).offset(), shape.rows, shape.columns, state,
                (decays[i] ? 1 : 0) | (shape.factored ? 2 : 0), tile, shape.tileColumns(), shape.tileRows(),
                rowPartials, columnPartials, roots};
            System.arraycopy(fields, 0, table, i * ENTRY, ENTRY);
            Arrays.fill(table, Math.toIntExact((long) entries.size() * ENTRY + tile),
                    Math.toIntExact((long) entries.size() * ENTRY + tile + shape.tiles()), i);
            state += shape.factored ? shape.rows + shape.columns : shape.columns;
            tile += shape.tiles();
            workspace = roots + shape.rows + shape.columns;
        }
        return new Entries(upload(table), entries.size(), tiles);
    }

    /** Doubles that Adafactor's kernels need. */
    static long workspaceElements(ParameterLayout layout) {
        return 2 * tiles(layout) + 2L * layout.entries().size() + layout.entries().stream().map(Shape::of)
                .mapToLong(s -> s.rowPartials() + s.columnPartials() + s.rows + s.columns).sum();
    }

    private static long tiles(ParameterLayout layout) {
        return layout.entries().stream().mapToLong(entry -> Shape.of(entry).tiles()).sum();
    }

    /** A parameter as a matrix; a vector is one of a single row, not factored into rows and columns. */
    private record Shape(long rows, long columns, boolean factored) {
        static Shape of(ParameterLayout.Entry entry) {
            long[] shape = entry.shape();
            return shape.length == 2 ? new Shape(shape[0], shape[1], true) : new Shape(1, entry.elements(), false);
        }

        long tileRows() {
            return Math.ceilDiv(rows, TILE_ROWS);
        }

        long tileColumns() {
            return Math.ceilDiv(columns, TILE_COLUMNS);
        }

        long tiles() {
            return tileRows() * tileColumns();
        }

        long rowPartials() {
            return factored ? tileColumns() * rows : 0;
        }

        long columnPartials() {
            return factored ? tileRows() * columns : 0;
        }
    }

    private Tensor upload(long[] table) {
        MemoryPlan plan = new MemoryPlan();
        Tensor tensor = plan.tensor(MemoryPlan.Category.OPTIMIZER, "parameterTable", DType.I64, table.length);
        plan.allocate(bytes -> new CudaMemory(context, bytes));
        context.synchronize();   // behind the zeroing
        check(JCudaDriver.cuMemcpyHtoD(CudaMemory.pointer(context, tensor, 0), Pointer.to(table), tensor.bytes()),
                "cuMemcpyHtoD");
        return tensor;
    }
}
