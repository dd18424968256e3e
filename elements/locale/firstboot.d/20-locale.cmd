@echo off
rem Gives the settings to Windows, for SYSTEM, the logon screen and all new users; they count after a restart.
setlocal
cd /d "%DIB_FIRSTBOOT%files"
if not "%ERRORLEVEL%"=="0" exit /b 1
for /f "delims=" %%f in ('dir /b locale*.xml') do call :give "%DIB_FIRSTBOOT%files\%%f"
rem rundll32 tells nothing of what became of it
set "FOUND="
set "KEY=HKU\.DEFAULT\Control Panel\International"
for /f "tokens=3" %%v in ('%SystemRoot%\System32\reg.exe query "%KEY%" /v LocaleName 2^>nul') do set "FOUND=%%v"
if /i "%FOUND%"=="%DIB_LOCALE%" exit /b 3010
echo the formats are those of %FOUND%, and not of %DIB_LOCALE%
exit /b 1

:give
echo %~1
rem control.exe would return before the work is done
start "" /wait "%SystemRoot%\System32\rundll32.exe" shell32.dll,Control_RunDLL intl.cpl,,/f:"%~1"
exit /b 0
