/* A sound card for a phone that knows ALSA only: put before it by LD_PRELOAD, over ALSA's null device, which has no time.
 * What it captures is the tone of VOICEBOX_TONE_HZ; what it plays is appended to VOICEBOX_HEARD as 16-bit samples. Both take as long as sound does. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RATE_HZ 8000
#define AMPLITUDE 9000
#define AHEAD_NS 60000000L /* what a card's buffer holds */

typedef struct _snd_pcm snd_pcm_t;

/* Wait until a thread's stream has played, or captured, so many frames more. */
static void pace(struct timespec *until, unsigned long frames, long ahead_ns) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long behind_ns = (now.tv_sec - until->tv_sec) * 1000000000L + (now.tv_nsec - until->tv_nsec);
    if (until->tv_sec == 0 || behind_ns > 1000000000L) *until = now;
    until->tv_nsec += (long)(frames * (1000000000L / RATE_HZ));
    while (until->tv_nsec >= 1000000000L) {
        until->tv_nsec -= 1000000000L;
        until->tv_sec++;
    }
    struct timespec wake = *until;
    wake.tv_nsec -= ahead_ns;
    if (wake.tv_nsec < 0) {
        wake.tv_nsec += 1000000000L;
        wake.tv_sec--;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
}

long snd_pcm_readi(snd_pcm_t *pcm, void *buffer, unsigned long frames) {
    static __thread struct timespec until;
    static __thread unsigned long place;
    (void)pcm;
    const char *tone = getenv("VOICEBOX_TONE_HZ");
    double hz = tone ? atof(tone) : 0;
    for (unsigned long frame = 0; frame < frames; frame++, place++)
        ((int16_t *)buffer)[frame] = (int16_t)(AMPLITUDE * sin(2 * M_PI * hz * (double)(place % RATE_HZ) / RATE_HZ));
    pace(&until, frames, 0);
    return (long)frames;
}

long snd_pcm_writei(snd_pcm_t *pcm, const void *buffer, unsigned long frames) {
    static __thread struct timespec until;
    (void)pcm;
    const char *path = getenv("VOICEBOX_HEARD");
    int heard = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (heard >= 0) {
        ssize_t written = write(heard, buffer, frames * sizeof(int16_t));
        (void)written;
        close(heard);
    }
    pace(&until, frames, AHEAD_NS);
    return (long)frames;
}

long snd_pcm_avail_update(snd_pcm_t *pcm) {
    (void)pcm;
    return 1 << 14;
}

int snd_pcm_delay(snd_pcm_t *pcm, long *delay) {
    (void)pcm;
    *delay = 0;
    return 0;
}
