package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.From;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/** Text from bytes one by one, against Java's own decoder of all of them. */
class Utf8StreamProperties {
    /** Whole characters of each length, cut ones, overlong ones, surrogates, and bytes that never occur. */
    @Provide
    Arbitrary<byte[]> almostUtf8() {
        Arbitrary<byte[]> whole = Arbitraries.integers().between(0, Character.MAX_CODE_POINT)
                .filter(c -> c < Character.MIN_SURROGATE || c > Character.MAX_SURROGATE)
                .map(c -> Character.toString(c).getBytes(StandardCharsets.UTF_8));
        Arbitrary<byte[]> cut = whole.filter(bytes -> bytes.length > 1)
                .map(bytes -> Arrays.copyOf(bytes, bytes.length - 1));
        Arbitrary<byte[]> odd = Arbitraries.of(0x80, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0x9F, 0xA0, 0xED, 0xEF, 0xF0,
                0x8F, 0x90, 0xF4, 0xF5, 0xF8, 0xFE, 0xFF, 0x41).map(value -> new byte[] {value.byteValue()});
        return Arbitraries.oneOf(whole, cut, odd).list().ofMaxSize(20).map(Utf8StreamProperties::joined);
    }

    private static byte[] joined(List<byte[]> parts) {
        var all = new ByteArrayOutputStream();
        parts.forEach(all::writeBytes);
        return all.toByteArray();
    }

    private static String streamed(Utf8Stream stream, byte[] bytes) {
        var text = new StringBuilder();
        for (byte value : bytes) {
            text.append(stream.add(value));
        }
        return text.append(stream.end()).toString();
    }

    @Property(tries = 1500)
    void allPiecesTogetherAreTheLenientDecodingOfAllBytes(@ForAll("almostUtf8") byte[] bytes) {
        assertThat(streamed(new Utf8Stream(), bytes)).isEqualTo(new String(bytes, StandardCharsets.UTF_8));
    }

    /** So that a terminal may show each piece at once. */
    @Property(tries = 400)
    void everyPieceIsWholeCharacters(@ForAll("almostUtf8") byte[] bytes) {
        var stream = new Utf8Stream();
        for (byte value : bytes) {
            String piece = stream.add(value);
            assertThat(new String(piece.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8)).isEqualTo(piece);
        }
        assertThat(stream.end()).isIn("", "\uFFFD");
    }

    /** Nothing waits longer than its character. */
    @Property(tries = 400)
    void whatHasComeOutIsAllThatIsCertain(@ForAll("almostUtf8") byte[] bytes) {
        var stream = new Utf8Stream();
        var text = new StringBuilder();
        for (int i = 0; i < bytes.length; i++) {
            text.append(stream.add(bytes[i]));
            byte[] soFar = Arrays.copyOf(bytes, i + 1);
            String decoded = new String(soFar, StandardCharsets.UTF_8);
            // What is held back is at most one character, which would be U+FFFD if the text ended here.
            assertThat(decoded).isIn(text.toString(), text + "\uFFFD");
            if (bytes[i] >= 0) {
                assertThat(text.toString()).isEqualTo(decoded);
            }
        }
    }

    @Property(tries = 400)
    void textsOneAfterTheOtherDoNotMix(@ForAll List<@From("almostUtf8") byte[]> texts) {
        var stream = new Utf8Stream();
        for (byte[] bytes : texts) {
            assertThat(streamed(stream, bytes)).isEqualTo(new String(bytes, StandardCharsets.UTF_8));
        }
    }

    @Example
    void aCharacterComesWithItsLastByte() {
        var stream = new Utf8Stream();
        assertThat(List.of(stream.add((byte) 0xF0), stream.add((byte) 0x9F), stream.add((byte) 0x98),
                stream.add((byte) 0x80), stream.end())).containsExactly("", "", "", "😀", "");
        assertThat(List.of(stream.add((byte) 0xE2), stream.add((byte) 0x82), stream.add((byte) 'a'), stream.end()))
                .containsExactly("", "", "\uFFFDa", "");
        assertThat(List.of(stream.add((byte) 0xE2), stream.end(), stream.end())).containsExactly("", "\uFFFD", "");
    }
}
