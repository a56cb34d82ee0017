package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.tensor.DType;

class SafeTensorsFileTest {
    @TempDir
    Path folder;

    private Path write(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("x.safetensors"), bytes);
    }

    /** A file of a header and zero bytes of data, the length field as it should be. */
    private Path write(String header, int dataBytes) throws IOException {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate(8 + text.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        return write(file.putLong(text.length).put(text).array());
    }

    @Test
    void readsTheTensorsOfTheReference() {
        try (var file = SafeTensorsFile.open(SharedData.golden("megabyte-basic/io.safetensors"))) {
            StoredTensor ids = file.tensor("input_ids");
            assertThat(ids.dtype()).isEqualTo(DType.I64);
            assertThat(Arrays.stream(file.ints("input_ids"))).hasSize((int) ids.elements())
                    .allMatch(id -> id >= 0 && id < 512);
            StoredTensor logits = file.tensor("logits");
            assertThat(logits.shape()).containsExactly(ids.shape()[0], ids.shape()[1], 512);
            assertThat(logits.data().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4)).isEqualTo(file.floats("logits")[1]);
            // ln 512 is what knowing nothing costs; random weights cost about that
            assertThat(file.floats("loss")[0]).isBetween(5f, 9f);
        }
    }

    @Test
    void convertsToFloatAndInt() throws IOException {
        ByteBuffer data = ByteBuffer.allocate(30).order(ByteOrder.LITTLE_ENDIAN);
        data.putDouble(-0.1).putShort((short) 0x3FC0).putShort(Float.floatToFloat16(-2.5f)).putLong(-7).put((byte) 200)
                .put((byte) -3).putFloat(1e-30f).putInt(11);
        String header = """
                {"d":{"dtype":"F64","shape":[],"data_offsets":[0,8]},
                "b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},
                "h":{"dtype":"F16","shape":[1,1],"data_offsets":[10,12]},
                "l":{"dtype":"I64","shape":[1],"data_offsets":[12,20]},
                "u":{"dtype":"U8","shape":[1],"data_offsets":[20,21]},
                "s":{"dtype":"I8","shape":[1],"data_offsets":[21,22]},
                "f":{"dtype":"F32","shape":[1],"data_offsets":[22,26]},
                "none":{"dtype":"I32","shape":[0,5],"data_offsets":[26,26]},
                "o":{"dtype":"I32","shape":[1],"data_offsets":[26,30]},"__metadata__":{"format":"pt"}}""";
        Path path = write(header, 30);
        byte[] bytes = Files.readAllBytes(path);
        System.arraycopy(data.array(), 0, bytes, bytes.length - 30, 30);
        Files.write(path, bytes);
        try (var file = SafeTensorsFile.open(path)) {
            assertThat(file.names()).containsExactly("d", "b", "h", "l", "u", "s", "f", "none", "o");
            assertThat(file.metadata()).containsExactly(Map.entry("format", "pt"));
            assertThat(file.floats("d")).containsExactly(-0.1f);
            assertThat(file.floats("b")).containsExactly(1.5f);
            assertThat(file.floats("h")).containsExactly(-2.5f);
            assertThat(file.ints("l")).containsExactly(-7);
            assertThat(file.floats("l")).containsExactly(-7f);
            assertThat(file.ints("u")).containsExactly(200);
            assertThat(file.ints("s")).containsExactly(-3);
            assertThat(file.floats("f")).containsExactly(1e-30f);
            assertThat(file.ints("o")).containsExactly(11);
            assertThat(file.floats("none")).isEmpty();
            assertThatThrownBy(() -> file.ints("f")).isInstanceOf(CheckpointException.class)
                    .hasMessage(path + ": the tensor f F32[1] cannot be read as I32: F32 is a floating-point type");
            assertThatThrownBy(() -> file.floats("g")).hasMessage(path + " has no tensor named g");
        }
    }

    @Test
    void roundsToBfloat16AsHardwareDoes() {
        float[] values = {1f, 1.00390625f, 1.01171875f, -3.4028235e38f, 1e-45f, Float.NaN, 3.3895314e38f};
        short[] expected = {0x3F80, 0x3F80, 0x3F82, (short) 0xFF80, 0, 0x7FC0, 0x7F7F};
        short[] actual = new short[values.length];
        ElementTypes.convert(DType.F32, MemorySegment.ofArray(values), DType.BF16, MemorySegment.ofArray(actual),
                values.length);
        assertThat(actual).containsExactly(expected);
    }

    @Test
    void closingEndsTheMapping() throws IOException {
        Path path = write("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
        StoredTensor tensor;
        try (var file = SafeTensorsFile.open(path)) {
            tensor = file.tensor("a");
            assertThat(tensor.floats()).containsExactly(0, 0);
        }
        assertThatThrownBy(tensor::floats).isInstanceOf(IllegalStateException.class).hasMessageContaining("closed");
    }

    @ParameterizedTest(name = "{1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"a":{F32:[2],at:[0,8]}|is not valid JSON
            [1]|is not a JSON object
            {}{}|something follows the JSON object
            {}|8 bytes at the end belong to no tensor
            {"a":3}|the entry of the tensor a is not an object
            {"a":{F32:[2]}}|the tensor a lacks its data_offsets
            {"a":{F32:[2],at:[0,8,8]}}|the tensor a has 3 data_offsets instead of 2
            {"a":{F32:[2],at:[0,8],"x":1}}|the tensor a has the unknown field x
            {"a":{F32:[2],"shape":[2],at:[0,8]}}|the tensor a has shape twice
            {"a":{"dtype":"F7","shape":[2],at:[0,8]}}|the tensor a has the dtype F7; the known ones are [F32, BF16
            {"a":{"dtype":9,"shape":[2],at:[0,8]}}|the tensor a has the dtype of a VALUE_NUMBER_INT
            {"a":{F32:2,at:[0,8]}}|the shape of the tensor a is not a list
            {"a":{F32:[-2],at:[0,8]}}|the shape of the tensor a holds -2
            {"a":{F32:[2.0],at:[0,8]}}|the shape of the tensor a holds 2.0
            {"a":{F32:[99999999999999999999],at:[0,8]}}|holds 99999999999999999999, which is not
            {"a":{F32:[4294967296,4294967296],at:[0,8]}}|has more bytes than 2^63
            {"a":{F32:[3],at:[0,8]}}|the tensor a has 8 bytes, but F32[3] needs 12
            {"a":{F32:[3],at:[0,12]}}|0 to 12, are not within the 8 bytes of data; the file may be truncated
            {"a":{F32:[1],at:[8,4]}}|8 to 4, are not within the 8 bytes
            {"a":{F32:[1],at:[4,8]}}|the data of the tensor a starts at 4, but what is before it ends at 0
            {"a":{F32:[1],at:[0,4]},"b":{F32:[2],at:[0,8]}}|tensor b starts at 0, but what is before it ends at 4
            {"a":{F32:[1],at:[0,4]},"a":{F32:[1],at:[4,8]}}|two tensors are named a
            {"a":{F32:[1],at:[0,4]}}|4 bytes at the end belong to no tensor
            {"__metadata__":{"a":1}}|the value of a in __metadata__ is not a string
            {"__metadata__":[]}|__metadata__ is not an object
            {"__metadata__":{},"__metadata__":{}}|the header has __metadata__ twice
            """)
    void refusesAMalformedHeaderWithASentence(String brief, String message) throws IOException {
        String header = brief.replace("F32:", "\"dtype\":\"F32\",\"shape\":").replace("at:", "\"data_offsets\":");
        Path path = write(header, 8);
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith(path.toString()).hasMessageContaining(message);
    }

    @Test
    void refusesLengthsThatCannotBe() throws IOException {
        byte[] tooLong = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(9).array();
        Path path = write(tooLong);
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).hasMessage(path
                + " is truncated or no safetensors file: its header would have 9 bytes, but only 8 follow");
        write(ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(100_000_001).array());
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).hasMessage(path
                + " is no safetensors file: its header would have 100000001 bytes, and at most 100000000 are allowed");
        write(ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(-1).array());
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).hasMessageContaining("18446744073709551615 bytes");
        write(new byte[3]);
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).hasMessageContaining("it has 3 bytes and would need 8");
        write(new byte[0]);
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).hasMessageContaining("it has 0 bytes");
    }

    @Test
    void refusesAHeaderThatIsNotUtf8() throws IOException {
        Path path = write("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0);
        byte[] bytes = Files.readAllBytes(path);
        bytes[10] = (byte) 0xFF;
        Files.write(path, bytes);
        assertThatThrownBy(() -> SafeTensorsFile.open(path)).isInstanceOf(CheckpointException.class)
                .hasMessage(path + " is damaged or no safetensors file: its header is not UTF-8");
    }

    @Test
    void refusesAMissingFileAndAFolder() {
        Path missing = folder.resolve("none.safetensors");
        assertThatThrownBy(() -> SafeTensorsFile.open(missing)).isInstanceOf(CheckpointException.class)
                .hasMessage(missing + " does not exist");
        assertThatThrownBy(() -> SafeTensorsFile.open(folder)).isInstanceOf(CheckpointException.class)
                .hasMessage(folder + " is a folder where a file is expected");
    }
}
