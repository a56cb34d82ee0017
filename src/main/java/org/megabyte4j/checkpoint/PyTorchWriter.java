package org.megabyte4j.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.CheckedOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.megabyte4j.tensor.DType;

/**
 * Writes a state dict as {@code torch.save} does: a zip file of a pickle and one stored entry for each tensor, which
 * {@code torch.load(weights_only=True)} reads. The same tensors give the same bytes.
 */
public final class PyTorchWriter {
    private static final String FOLDER = "archive/";
    /** Where PyTorch likes storages to start, so that they can be mapped into memory. */
    private static final int ALIGNMENT = 64;
    private static final int LOCAL_HEADER_BYTES = 30;
    /** Always the same; the very first time that a zip file can hold would be written as an extra field. */
    private static final LocalDateTime NO_TIME = LocalDateTime.of(1981, 1, 1, 0, 0);

    private final List<TensorSource> tensors;

    public PyTorchWriter(List<TensorSource> tensors) {
        this.tensors = List.copyOf(tensors);
    }

    /**
     * Writes a file: whoever looks sees the old file or the new one, never a part.
     *
     * @throws CheckpointException if it cannot be written; what was there before stays
     */
    public void write(Path path) {
        byte[] pickle = pickle();
        // An entry costs less than 300 bytes around its data.
        long bytes = tensors.stream().mapToLong(TensorSource::bytes).reduce(pickle.length, Math::addExact)
                + 300L * (tensors.size() + 4);
        DurableFiles.replace(path, bytes, to -> write(pickle, to));
    }

    private void write(byte[] pickle, WritableByteChannel to) throws IOException {
        var counted = new CountedOutput(Channels.newOutputStream(to));
        var zip = new ZipOutputStream(counted);
        zip.setMethod(ZipOutputStream.STORED);
        write(zip, counted, "data.pkl", out -> out.write(pickle));
        write(zip, counted, "byteorder", out -> out.write("little".getBytes(StandardCharsets.US_ASCII)));
        for (int i = 0; i < tensors.size(); i++) {
            TensorSource tensor = tensors.get(i);
            write(zip, counted, "data/" + i, out -> SafeTensorsWriter.write(tensor, Channels.newChannel(out)));
        }
        write(zip, counted, "version", out -> out.write("3\n".getBytes(StandardCharsets.US_ASCII)));
        zip.finish();
    }

    private interface Body {
        void write(OutputStream out) throws IOException;
    }

    /** A stored entry: its checksum stands before it, so the body is made twice. */
    private static void write(ZipOutputStream zip, CountedOutput file, String name, Body body) throws IOException {
        CRC32 crc = new CRC32();
        var sizing = new CountedOutput(new CheckedOutputStream(OutputStream.nullOutputStream(), crc));
        body.write(sizing);
        ZipEntry entry = new ZipEntry(FOLDER + name);
        entry.setTimeLocal(NO_TIME);
        entry.setSize(sizing.count);
        entry.setCrc(crc.getValue());
        entry.setExtra(padding(file.count + LOCAL_HEADER_BYTES + FOLDER.length() + name.length()));
        zip.putNextEntry(entry);
        body.write(zip);
        zip.closeEntry();
    }

    /** An extra field after which the next byte is aligned. */
    private static byte[] padding(long position) {
        int length = (int) (ALIGNMENT - (position + 4) % ALIGNMENT) % ALIGNMENT;
        return ByteBuffer.allocate(4 + length).order(ByteOrder.LITTLE_ENDIAN).put((byte) 'F').put((byte) 'B')
                .putShort((short) length).array();
    }

    private static final class CountedOutput extends FilterOutputStream {
        private long count;

        CountedOutput(OutputStream out) {
            super(out);
        }

        @Override
        public void write(int b) throws IOException {
            out.write(b);
            count++;
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            out.write(bytes, offset, length);
            count += length;
        }
    }

    /** {@code OrderedDict(name=_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()), ...)}. */
    private byte[] pickle() {
        var pickle = new Pickle();
        pickle.op(0x80).op(2);
        pickle.global("collections", "OrderedDict").op(')').op('R').op('(');
        for (int i = 0; i < tensors.size(); i++) {
            TensorSource tensor = tensors.get(i);
            pickle.text(tensor.name()).global("torch._utils", "_rebuild_tensor_v2").op('(');
            pickle.op('(').text("storage").global("torch", storageType(tensor.dtype())).text(Integer.toString(i))
                    .text("cpu").number(tensor.count()).op('t').op('Q');
            pickle.number(0).numbers(tensor.shape()).numbers(strides(tensor.shape())).op(0x89);
            pickle.global("collections", "OrderedDict").op(')').op('R').op('t').op('R');
        }
        return pickle.op('u').op('.').bytes.toByteArray();
    }

    private static long[] strides(long[] shape) {
        long[] strides = new long[shape.length];
        long stride = 1;
        for (int axis = shape.length - 1; axis >= 0; axis--) {
            strides[axis] = stride;
            stride *= Math.max(1, shape[axis]);
        }
        return strides;
    }

    private static String storageType(DType dtype) {
        return switch (dtype) {
            case F32 -> "FloatStorage";
            case F64 -> "DoubleStorage";
            case F16 -> "HalfStorage";
            case BF16 -> "BFloat16Storage";
            case I64 -> "LongStorage";
            case I32 -> "IntStorage";
            case I16 -> "ShortStorage";
            case I8 -> "CharStorage";
            case U8 -> "ByteStorage";
            case BOOL -> "BoolStorage";
        };
    }

    /** The opcodes of protocol 2 that tensors need. */
    private static final class Pickle {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Pickle op(int opcode) {
            bytes.write(opcode);
            return this;
        }

        private Pickle raw(int length, long littleEndian) {
            for (int i = 0; i < length; i++) {
                bytes.write((int) (littleEndian >>> 8 * i));
            }
            return this;
        }

        Pickle global(String module, String name) {
            op('c').bytes.writeBytes((module + "\n" + name + "\n").getBytes(StandardCharsets.UTF_8));
            return this;
        }

        Pickle text(String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            op('X').raw(4, utf8.length).bytes.writeBytes(utf8);
            return this;
        }

        Pickle number(long value) {
            return value == (int) value ? op('J').raw(4, value) : op(0x8a).op(8).raw(8, value);
        }

        Pickle numbers(long[] values) {
            op('(');
            for (long value : values) {
                number(value);
            }
            return op('t');
        }
    }
}
