@echo off
rem Gives the settings to Windows, for SYSTEM, the logon screen and all new users; they count after a restart.
setlocal
for %%f in ("%DIB_FIRSTBOOT%files\locale*.xml") do (
    echo %%f
    start "" /wait "%SystemRoot%\System32\control.exe" intl.cpl,,/f:"%%f"
    del "%%f"
)
exit /b 3010
